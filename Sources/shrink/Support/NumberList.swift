import ArgumentParser

/// Numbers from 1, separated by commas, as an argument; each once, in ascending order.
struct NumberList: ExpressibleByArgument {
    var values: [Int]

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { Int($0) }
        guard numbers.count == parts.count, numbers.allSatisfy({ 1...16_777_216 ~= $0 }) else { return nil }
        values = Set(numbers).sorted()
    }
}
