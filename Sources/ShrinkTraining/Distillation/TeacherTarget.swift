import ShrinkGraph

/// A value of a teacher that a student's graph asks for, as an input of this name:
///
///     teacher:logits                 an output
///     teacher:top:64:2.0:logits      the 64 most probable classes of an output at temperature 2, see `Loss.Function.topTargets`
///     teacher:hidden:3               the hidden states after layer 3
///     teacher:query:3                the queries of layer 3 as its attention reads them; also key and value
public enum TeacherTarget: Hashable, Sendable {
    case output(String)
    case top(String, count: Int, temperature: Double)
    case hidden(layer: Int)
    case attention(Attention.Role, layer: Int)

    public static let prefix = "teacher:"

    public var name: String {
        switch self {
        case .output(let name): "\(Self.prefix)\(name)"
        case .top(let name, let count, let temperature): "\(Self.prefix)top:\(count):\(temperature):\(name)"
        case .hidden(let layer): "\(Self.prefix)hidden:\(layer)"
        case .attention(let role, let layer): "\(Self.prefix)\(role.rawValue):\(layer)"
        }
    }

    public init?(name: String) {
        guard name.hasPrefix(Self.prefix) else { return nil }
        let parts = name.dropFirst(Self.prefix.count).split(separator: ":", omittingEmptySubsequences: false)
        switch (parts.first ?? "", parts.count) {
        case ("top", 4):
            guard let count = Int(parts[1]), count > 0, let temperature = Double(parts[2]), temperature > 0 else { return nil }
            self = .top(String(parts[3]), count: count, temperature: temperature)
        case (let kind, 2):
            guard let layer = Int(parts[1]), layer >= 0 else { return nil }
            if kind == "hidden" { self = .hidden(layer: layer); return }
            guard let role = Attention.Role(rawValue: String(kind)) else { return nil }
            self = .attention(role, layer: layer)
        case (let name, 1) where !name.isEmpty: self = .output(String(name))
        default: return nil
        }
    }
}

extension Graph {
    /// What this graph asks a teacher for: its inputs that name a `TeacherTarget`, with their types.
    public var teacherTargets: [(target: TeacherTarget, type: ValueType)] {
        inputs.compactMap { input in TeacherTarget(name: self[input].name).map { ($0, self[input].type) } }
    }
}
