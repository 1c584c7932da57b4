// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "swift-embed",
    dependencies: [.package(name: "shrink", path: "../..")],
    targets: [.executableTarget(name: "swift-embed", dependencies: [.product(name: "ShrinkRuntime", package: "shrink")])]
)
