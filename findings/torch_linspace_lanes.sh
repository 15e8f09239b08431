#!/usr/bin/env bash
# PyTorch 1.13.1 (Debian's 1.13.1+dfsg-4), CPU: torch.linspace in float32 depends on the width of the processor's vectors,
# and with it the noise schedule that a diffusion model is trained and sampled with.
#
# One expects the float nearest to start + i * step, or at least the same floats everywhere. Instead, of n values,
#   - the first of each vector of V is start + i step in the first half and end - (n - 1 - i) step in the second, fused
#     (rounded once) where the kernel was compiled with FMA;
#   - the others of the vector are that one plus k step, the product and the sum rounded one by one;
#   - values behind the last whole pair of vectors are computed as first ones;
# with V = 8 without FMA (capability "default"), 8 with FMA (AVX2), 16 with FMA (AVX-512). This recipe, below in NumPy,
# gives all three to the bit. So 170 to 290 of the 1,000 betas of linspace(0.0001, 0.02), DDPM's schedule, differ between
# any two of the three kinds of machine, and their cumulative products by up to 3.6e-7 of themselves: a table that is to
# be PyTorch's to the bit has to say which.
source "$(dirname "$0")/debian_torch.bash"

cat >lanes.py <<'PY'
import os
import numpy as np
import torch

def fused(a, b, c):  # exact product, one rounding to double and one to float
    return np.float32(np.float64(a) * np.float64(b) + np.float64(c))

def plain(a, b, c):
    return np.float32(np.float32(a * b) + c)

def linspace(start, end, n, lanes, multiply_add):
    start, end = np.float32(start), np.float32(end)
    step, out = np.float32((end - start) / np.float32(n - 1)), np.zeros(n, np.float32)
    for i in range(n):
        first = i - i % lanes if i < n // (2 * lanes) * (2 * lanes) else i
        if first < n // 2:
            base = multiply_add(step, np.float32(first), start)
        else:
            base = multiply_add(-step, np.float32(n - 1 - first), end)
        out[i] = base + np.float32(np.float32(i - first) * step)
    return out

kinds = {"default": (8, plain), "avx2": (8, fused), "avx512": (16, fused)}
mine = os.environ["ATEN_CPU_CAPABILITY"]
betas = torch.linspace(0.0001, 0.02, 1000).numpy()
differ = [f"{kind} {int((linspace(0.0001, 0.02, 1000, *kinds[kind]) != betas).sum())}" for kind in kinds]
print(f"torch.linspace on {mine}, betas that differ from the recipe of:", ", ".join(differ))
PY
{
    "${python[@]}" -c 'import torch; print(torch.__version__)'
    for capability in default avx2 avx512; do ATEN_CPU_CAPABILITY=$capability "${python[@]}" lanes.py; done
} | tee seen
cat >expected <<'TXT'
1.13.0a0
torch.linspace on default, betas that differ from the recipe of: default 0, avx2 168, avx512 293
torch.linspace on avx2, betas that differ from the recipe of: default 168, avx2 0, avx512 191
torch.linspace on avx512, betas that differ from the recipe of: default 293, avx2 191, avx512 0
TXT
diff expected seen
