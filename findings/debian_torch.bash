# Sourced by findings that run Debian's PyTorch 1.13.1: unpacks python3-torch=1.13.1+dfsg-4 and all it depends on into a
# temporary folder, goes there, and sets "${python[@]}", the command that runs its Python. Nothing is installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir debs root
apt-get install -y -qq --no-install-recommends --download-only -o Dir::State::status=/dev/null \
    -o Dir::Cache::archives="$work/debs" -o APT::Sandbox::User=root -o Debug::NoLocking=1 \
    python3-torch=1.13.1+dfsg-4 >/dev/null
mkdir -p root/usr/lib root/usr/lib64 root/usr/bin root/usr/sbin
for link in lib lib64 bin sbin; do ln -s usr/$link root/$link; done
for deb in debs/*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x -C root --keep-directory-symlink; done
libraries=$work/root/usr/lib/x86_64-linux-gnu
export PYTHONHOME=$work/root/usr
python=("$work/root/lib64/ld-linux-x86-64.so.2" --library-path "$libraries:$libraries/blas:$libraries/lapack"
    "$work/root/usr/bin/python3")
