import ShrinkFormat

/// The error of the reader and of the runtime is one type; who imports only the runtime sees it too.
public typealias RuntimeError = ShrinkFormat.RuntimeError
