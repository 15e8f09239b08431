#!/usr/bin/env bash
# ONNX Runtime 1.30.0 (npm's onnxruntime-node, CPU): what a sampler draws whose noise is inside its graph.
#
# RandomNormalLike with the attribute `seed` is expected to give every run of a session the same numbers, and every node
# numbers of its own. Neither holds, and seeds make sampling worse than no seed:
#   - Two nodes with one seed, say the prior's noise and a step's, draw the very same numbers: each has a generator of its
#     own, begun from the seed. An exporter that writes one seed into all nodes makes a sampler whose steps all add the same
#     noise, without a word.
#   - A second run of the session goes on where the first one ended, so that a sample depends on the runs before it;
#     only a new session begins again.
#   - It goes on by pairs: a run of 3 numbers has drawn 4 and drops the last. So 1 x 3 twice is not 2 x 3 once, while
#     1 x 4 twice is: whether a batch may be cut in two depends on whether its rows are of even length.
# Within one run a longer batch does begin with the shorter one's numbers.
# Wanted below: the numbers to four decimals.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --no-fund --no-audit --ignore-scripts onnxruntime-node@1.30.0 >/dev/null

cat >noise.js <<'JS'
const ort = require("onnxruntime-node");

// The few messages of ONNX's protobuf that these graphs need.
function varint(n) {
    const bytes = [];
    for (; n > 127; n = Math.floor(n / 128)) bytes.push((n % 128) | 128);
    return Buffer.from([...bytes, n]);
}
const message = (...fields) => Buffer.concat(fields);
const integer = (field, n) => message(varint(field * 8), varint(n));
const bytes = (field, value) => message(varint(field * 8 + 2), varint(value.length), value);
const text = (field, value) => bytes(field, Buffer.from(value));
function float(field, value) {
    const four = Buffer.alloc(4);
    four.writeFloatLE(value);
    return message(varint(field * 8 + 5), four);
}
const seed = bytes(5, message(text(1, "seed"), float(2, 42), integer(20, 1)));
const node = (type, inputs, output, attribute = Buffer.alloc(0)) =>
    message(...inputs.map((name) => text(1, name)), text(2, output), text(4, type), attribute);
const value = (name) =>
    message(text(1, name), bytes(2, bytes(1, message(integer(1, 1), bytes(2, message(bytes(1, text(2, "n")), bytes(1, text(2, "k"))))))));
const model = (...nodes) =>
    message(integer(1, 8), bytes(8, message(text(1, ""), integer(2, 17))),
            bytes(7, message(...nodes.map((n) => bytes(1, n)), text(2, "noise"), bytes(11, value("x")), bytes(12, value("y")))));

const one = model(node("RandomNormalLike", ["x"], "y", seed));
const two = model(node("RandomNormalLike", ["x"], "a", seed), node("RandomNormalLike", ["x"], "b", seed), node("Sub", ["a", "b"], "y"));

async function draw(session, n, k) {
    const result = await session.run({ x: new ort.Tensor("float32", new Float32Array(n * k), [n, k]) });
    return Array.from(result.y.data, (v) => v.toFixed(4)).join(" ");
}

(async () => {
    const open = (graph) => ort.InferenceSession.create(graph, { intraOpNumThreads: 1 });
    console.log("two nodes of one seed, difference:", await draw(await open(two), 1, 3));
    console.log("2 x 3:", await draw(await open(one), 2, 3));
    const odd = await open(one), even = await open(one);
    console.log("1 x 3, twice:", await draw(odd, 1, 3), "|", await draw(odd, 1, 3));
    console.log("2 x 4:", await draw(await open(one), 2, 4));
    console.log("1 x 4, twice:", await draw(even, 1, 4), "|", await draw(even, 1, 4));
})();
JS
cat >expected <<'TXT'
two nodes of one seed, difference: 0.0000 0.0000 0.0000
2 x 3: -0.9012 0.8964 -1.2027 -0.4902 0.0115 0.4431
1 x 3, twice: -0.9012 0.8964 -1.2027 | 0.0115 0.4431 -1.6770
2 x 4: -0.9012 0.8964 -1.2027 -0.4902 0.0115 0.4431 -1.6770 0.2102
1 x 4, twice: -0.9012 0.8964 -1.2027 -0.4902 | 0.0115 0.4431 -1.6770 0.2102
TXT
node noise.js | tee seen
diff expected seen
