// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "shrink",
    products: [

        .library(name: "ShrinkRuntime", targets: ["ShrinkRuntime"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    ],
    targets: [
        // The runtime half: nothing here may import Foundation, Dispatch or Glibc.
        .target(name: "CShrinkKernels"),
        .target(name: "ShrinkFormat"),
        .target(name: "ShrinkRuntime", dependencies: ["ShrinkFormat", "CShrinkKernels"]),

        // The compiler half.
        .target(name: "ShrinkJSON"),
        .target(name: "ShrinkGraph"),
        .target(name: "ShrinkTokenizers", dependencies: ["ShrinkFormat", "ShrinkJSON"]),
        .target(name: "ShrinkCheckpoints", dependencies: ["ShrinkJSON"]),
        .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),

        .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
        .target(
            name: "RuntimeTestSupport", dependencies: ["ShrinkFormat", "ShrinkRuntime", "CArchive", "CAllocationCounter"],
            path: "Tests/RuntimeTestSupport"),
        .testTarget(name: "ShrinkFormatTests", dependencies: ["ShrinkFormat", "RuntimeTestSupport"]),
        .testTarget(
            name: "ShrinkRuntimeTests",
            dependencies: ["ShrinkRuntime", "RuntimeTestSupport", "CShrinkKernels", "CAllocationCounter"]),
        .testTarget(name: "CShrinkKernelsTests", dependencies: ["CShrinkKernels"]),
    ],
    cLanguageStandard: .c11
)
