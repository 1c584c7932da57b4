# How the runtime half is compiled for a device: Embedded Swift and C, in position-independent objects that need
# nothing but libc. Sourced from the top of the repository; $arch and $out are set.

tool() { # a program of the Swift toolchain, wherever that is
    echo "$(dirname "$(readlink -f "$(command -v swiftc)")")/$1"
}

if [ "$arch" = "$(uname -m)" ]; then
    swift_target="$arch-unknown-linux-gnu"
    system_headers=()
else
    # The toolchain has no Embedded Swift for Linux on other processors; bare metal has the same calling convention.
    swift_target="$arch-none-none-elf"
    system_headers=(-Xcc -isystem -Xcc "/usr/$arch-linux-gnu/include")
    [ -d "/usr/$arch-linux-gnu/include" ] || { echo "there are no headers of libc for $arch; Tools/setup installs them" >&2; exit 1; }
fi

# Small, because the time goes into the kernels, which are C.
compile_runtime() { # additional Swift sources of the module...
    local flags=(-Osize -enable-experimental-feature Embedded -enable-experimental-feature Extern -wmo -parse-as-library
        -target "$swift_target" -Xfrontend -function-sections "${system_headers[@]}")
    swiftc "${flags[@]}" -module-name ShrinkFormat -emit-module -emit-module-path "$out/ShrinkFormat.swiftmodule" \
        -c Sources/ShrinkFormat/*.swift -o "$out/ShrinkFormat.o"
    # shellcheck disable=SC2046
    swiftc "${flags[@]}" -module-name ShrinkRuntime -I "$out" -I Sources/CShrinkKernels/include -I Sources/CShrink/include \
        -c $(find Sources/ShrinkRuntime -name '*.swift') "$@" -o "$out/ShrinkRuntime.o"
}

device_clang() {
    "$(tool clang)" --target="$arch-linux-gnu" -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections \
        -fno-asynchronous-unwind-tables "$@"
}

compile_kernels() { # additional C sources...
    local source optimize flags=(-std=c11 -Wall -Wextra -I Sources/CShrinkKernels/include -I Sources/CShrink/include)
    # Atomics are instructions, not calls of a compiler's library.
    if [ "$arch" = aarch64 ]; then flags+=(-mno-outline-atomics); fi
    for source in Sources/CShrinkKernels/*.c Sources/CShrink/*.c "$@"; do
        # The reference is for processors without any vectors; the rest of these is not where the time goes.
        case $(basename "$source") in scalar.c | registry.c | platform_*.c) optimize=-Os ;; *) optimize=-O2 ;; esac
        device_clang "${flags[@]}" "$optimize" -c "$source" -o "$out/$(basename "$source" .c).o"
    done
}
