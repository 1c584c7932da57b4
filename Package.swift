// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "shrink",
    products: [
        .executable(name: "shrink", targets: ["shrink"]),
        .library(name: "ShrinkRuntime", targets: ["ShrinkRuntime"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
    ],
    targets: [
        // The runtime half: nothing here may import Foundation, Dispatch or Glibc.
        .target(name: "CShrinkKernels"),
        .target(name: "CShrink"),
        .target(name: "ShrinkFormat"),
        .target(name: "ShrinkRuntime", dependencies: ["ShrinkFormat", "CShrinkKernels", "CShrink"]),

        // The compiler half.
        .target(name: "ShrinkJSON"),
        .target(name: "ShrinkGraph"),
        .target(name: "ShrinkTokenizers", dependencies: ["ShrinkFormat", "ShrinkJSON"]),
        .testTarget(
            name: "ShrinkTokenizersTests", dependencies: ["ShrinkTokenizers", "ShrinkRuntime", "ShrinkFormat", "ShrinkJSON"],
            resources: [.copy("Fixtures")]),
        .systemLibrary(name: "CFileExchange"),
        .target(name: "ShrinkCheckpoints", dependencies: ["ShrinkJSON", "CFileExchange"]),
        .target(name: "ShrinkModels", dependencies: ["ShrinkGraph", "ShrinkCheckpoints", "ShrinkJSON"]),
        // Float kernels of the host, compiled for every instruction set of the architecture.
        .target(name: "CHostKernels"),
        .target(name: "ShrinkCompute", dependencies: ["ShrinkGraph", "CHostKernels", "CShrinkKernels", "COpenBLAS"]),
        .target(name: "ShrinkPasses", dependencies: ["ShrinkGraph"]),
        .target(name: "ShrinkPacking", dependencies: ["ShrinkGraph", "ShrinkFormat", "ShrinkJSON", "CArchive"]),
        .target(name: "ShrinkEvaluation", dependencies: ["CShrinkKernels", "ShrinkFormat"]),
        // What the machine could do at most, for benchmarks; no part of the runtime.
        .target(name: "CShrinkMachine", dependencies: ["CShrinkKernels"]),
        .target(
            name: "ShrinkTraining",
            dependencies: [
                "ShrinkGraph", "ShrinkCompute", "CHostKernels", "CShrinkKernels", "ShrinkTokenizers", "ShrinkRuntime", "ShrinkFormat", "ShrinkCheckpoints",
                "ShrinkJSON", "ShrinkModels", "ShrinkPasses", "ShrinkEvaluation", "CArchive", .product(name: "Yams", package: "Yams"),
            ]),
        .executableTarget(
            name: "shrink",
            dependencies: [
                "ShrinkFormat", "ShrinkRuntime", "ShrinkJSON", "ShrinkGraph", "ShrinkTokenizers", "ShrinkCheckpoints", "ShrinkModels",
                "ShrinkCompute", "ShrinkPasses", "ShrinkPacking", "ShrinkEvaluation", "ShrinkTraining", "CShrinkMachine",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        // Times training steps, for comparisons with peers; not installed.
        .executableTarget(
            name: "training-benchmark", dependencies: ["ShrinkTraining", "ShrinkCompute", "ShrinkGraph", "ShrinkModels", "ShrinkPasses"],
            path: "Tools/training-benchmark"),
        // Writes the models that Tools/check-exports compares with transformers; not installed.
        .executableTarget(
            name: "export-samples", dependencies: ["ShrinkModels", "ShrinkCompute", "ShrinkGraph", "ShrinkCheckpoints"], path: "Tools/exports",
            exclude: ["check.py"]),
        .systemLibrary(name: "COpenBLAS", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),

        .testTarget(name: "ShrinkJSONTests", dependencies: ["ShrinkJSON"]),
        .testTarget(
            name: "ShrinkCheckpointsTests", dependencies: ["ShrinkCheckpoints"], exclude: ["Fixtures"]),
        .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
        .target(
            name: "RuntimeTestSupport", dependencies: ["ShrinkFormat", "ShrinkRuntime", "CArchive", "CAllocationCounter"],
            path: "Tests/RuntimeTestSupport"),
        .testTarget(name: "ShrinkFormatTests", dependencies: ["ShrinkFormat", "RuntimeTestSupport"]),
        .testTarget(
            name: "ShrinkRuntimeTests",
            dependencies: ["ShrinkRuntime", "RuntimeTestSupport", "CShrink", "CShrinkKernels", "CAllocationCounter"]),
        .testTarget(name: "CShrinkKernelsTests", dependencies: ["CShrinkKernels"]),
        // Small models with the outputs of transformers, for the tests below.
        .target(
            name: "GoldenModels", dependencies: ["ShrinkCheckpoints", "ShrinkCompute", "ShrinkModels"],
            path: "Tests/GoldenModels", exclude: ["Fixtures"]),
        .testTarget(name: "ShrinkGraphTests", dependencies: ["ShrinkGraph", "GoldenModels"]),
        .testTarget(name: "ShrinkPassesTests", dependencies: ["ShrinkPasses", "ShrinkCompute", "GoldenModels"]),
        .testTarget(name: "ShrinkModelsTests", dependencies: ["ShrinkModels", "ShrinkCheckpoints", "ShrinkGraph", "ShrinkCompute", "ShrinkJSON", "GoldenModels"]),
        .testTarget(name: "ShrinkComputeTests", dependencies: ["ShrinkCompute", "CHostKernels"]),
        .testTarget(
            name: "ShrinkPackingTests",
            dependencies: ["ShrinkPacking", "ShrinkPasses", "ShrinkFormat", "ShrinkJSON", "GoldenModels"]),
        .testTarget(name: "CShrinkMachineTests", dependencies: ["CShrinkMachine", "CShrinkKernels"]),
        .testTarget(name: "ShrinkEvaluationTests", dependencies: ["ShrinkEvaluation", "ShrinkFormat", "RuntimeTestSupport"]),
        .testTarget(
            name: "ShrinkTrainingTests",
            dependencies: [
                "ShrinkTraining", "ShrinkGraph", "ShrinkCompute", "ShrinkModels", "ShrinkPasses", "ShrinkCheckpoints", "ShrinkTokenizers",
                "ShrinkRuntime", "ShrinkFormat", "ShrinkJSON", "CArchive",
            ],
            resources: [.copy("Fixtures")]),
        .testTarget(
            name: "ConformanceTests",
            dependencies: ["ShrinkRuntime", "ShrinkPacking", "ShrinkPasses", "ShrinkTraining", "ShrinkCompute", "ShrinkGraph", "ShrinkJSON", "GoldenModels"]),
    ],
    cLanguageStandard: .c11
)
