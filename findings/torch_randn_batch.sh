#!/usr/bin/env bash
# PyTorch 1.13.1 (Debian's 1.13.1+dfsg-4), CPU: the prior's noise of sample 0 depends on how many samples are drawn with it.
#
# One expects torch.randn(n, dim) from one seed to begin with the same rows whatever n: a generator gives one number after
# the other. It does so only from 16 numbers on and where n * dim is a multiple of 16. Fewer than 16 are drawn one by one,
# in double precision; from 16 on all uniforms are drawn first and transformed in blocks of 16; and where the last block is
# not full, the last 16 numbers are drawn anew, over what the blocks before have written. So
#   - 7 points in the plane share no coordinate with the first 7 of 8;
#   - 17 numbers differ from the first 17 of 32 in all but the first;
#   - of pictures of 7 x 7, the end of every batch whose size is not a multiple of 16 changes;
#   - pictures of 28 x 28 (784 = 49 * 16) are safe, which is why tests on images never see it.
# "The same seed, another batch size, another sample" therefore happens on one machine, in one process, before any
# network has run. Wanted below: how many of the numbers of the first samples stay when more are drawn.
source "$(dirname "$0")/debian_torch.bash"

cat >draw.py <<'PY'
import torch

def same(n, more, *shape):
    """Which numbers of the first n samples stay when `more` are drawn from the same seed."""
    torch.manual_seed(0)
    few = torch.randn(n, *shape)
    torch.manual_seed(0)
    many = torch.randn(more, *shape)[:n]
    equal = (few == many).flatten()
    return f"{int(equal.sum())} of {equal.numel()}"

print(torch.__version__)
print("plane, 7 of 8 points:", same(7, 8, 2))
print("plane, 8 of 16 points:", same(8, 16, 2))
print("line, 17 of 32 points:", same(17, 32))
print("7 x 7 pictures, 1 of 16:", same(1, 16, 7, 7))
print("28 x 28 pictures, 1 of 3:", same(1, 3, 28, 28))
PY
cat >expected <<'TXT'
1.13.0a0
plane, 7 of 8 points: 0 of 14
plane, 8 of 16 points: 16 of 16
line, 17 of 32 points: 1 of 17
7 x 7 pictures, 1 of 16: 33 of 49
28 x 28 pictures, 1 of 3: 784 of 784
TXT
"${python[@]}" draw.py | tee seen
diff expected seen
