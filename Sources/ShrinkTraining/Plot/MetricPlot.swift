/// Curves of one or several runs as a picture, or as a page that needs nothing else.
///
/// The same runs give the same bytes. The size depends on the number of runs and metrics, not on their length.
public struct MetricPlot {
    public static let maximumRuns = PlotStyle.maximumRuns

    private let runs: [RunMetrics]
    private let names: [String]
    private let panels: [PlotPanel]

    /// - Precondition: not more than `maximumRuns`.
    public init(_ runs: [RunMetrics]) {
        precondition(runs.count <= Self.maximumRuns)
        self.runs = runs
        let names = Self.names(runs.map(\.path))
        self.names = names
        var metrics: [RunMetrics.Metric] = []
        for (metric, _) in runs.flatMap(\.metrics) where !metrics.contains(metric) { metrics.append(metric) }
        let ordered = metrics.enumerated().sorted { ($0.element.place, $0.offset) < ($1.element.place, $1.offset) }.map(\.element)
        let buckets = runs.flatMap { $0.metrics.flatMap(\.series.buckets) }
        let first = buckets.map(\.first).min() ?? 0, last = buckets.map(\.last).max() ?? 0
        // Runs count from their beginning unless most of it is not there.
        let steps = (first <= last / 2 ? 0 : first)...last
        panels = ordered.compactMap { metric in
            let curves = runs.enumerated().compactMap { index, run in
                run[metric].map { PlotPanel.Curve(run: index, name: names[index], series: $0) }
            }
            return PlotPanel(metric.title, curves, style: metric.style, steps: steps, isLinear: metric.isLinear)
        }
    }

    /// The last part of each path, and of paths that end alike as much more as tells them apart.
    static func names(_ paths: [String]) -> [String] {
        let parts = paths.map { path in path.split(separator: "/").filter { $0 != "." } }
        func tail(_ parts: [Substring], _ count: Int) -> String { parts.suffix(count).joined(separator: "/") }
        return parts.indices.map { index in
            var count = 1
            while count < parts[index].count,
                parts.indices.contains(where: { $0 != index && tail(parts[$0], count) == tail(parts[index], count) })
            { count += 1 }
            return parts[index].isEmpty ? paths[index] : tail(parts[index], count)
        }
    }

    private var heading: String { names.count == 1 ? "Run \(names[0])" : "\(names.count) runs" }
    private static let nothing = "There are no numbers in these metrics yet."

    // MARK: Picture

    /// A picture of all diagrams, in two columns.
    public var svg: String {
        let margin = 20.0, columns = panels.count > 1 ? 2 : 1
        let width = Double(columns) * PlotPanel.width + 2 * margin
        var legend = "", x = margin, y = 62.0
        for (index, name) in names.enumerated() where names.count > 1 {
            let text = name.count > 48 ? "…" + name.suffix(47) : name, length = 52 + 7.2 * Double(text.count)
            if x > margin, x + length > width - margin { (x, y) = (margin, y + 22) }
            legend += "<path class=\"line \(PlotStyle.run(index))\" d=\"M\(x),\(y - 4)h24\"/><text x=\"\(x + 32)\" y=\"\(y)\">\(text.asXML)</text>\n"
            x += length
        }
        let top = names.count > 1 ? y + 16 : 44
        let rows = max(1, (panels.count + columns - 1) / columns)
        let height = top + Double(rows) * PlotPanel.height + margin
        var svg = """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" width="\(width)" height="\(height)" role="img">
            <title>\(heading.asXML)</title>
            <style>\(PlotStyle.svg)</style>
            <rect class="page" width="100%" height="100%"/>
            <text class="heading" x="\(margin)" y="32">\(heading.asXML)</text>
            \(legend)
            """
        for (index, panel) in panels.enumerated() {
            let x = margin + Double(index % columns) * PlotPanel.width, y = top + Double(index / columns) * PlotPanel.height
            svg += "<g transform=\"translate(\(x),\(y))\">\n\(panel.elements)</g>\n"
        }
        if panels.isEmpty { svg += "<text class=\"note\" x=\"\(margin)\" y=\"\(top + 40)\">\(Self.nothing)</text>\n" }
        return svg + "</svg>\n"
    }

    // MARK: Page

    /// A page for a browser, which is also well-formed XML. Fetches nothing; works without scripts, which show the values
    /// under the pointer.
    public var html: String {
        let legend = names.enumerated().map { index, name in
            "<li><svg width=\"28\" height=\"8\" aria-hidden=\"true\"><path class=\"line \(PlotStyle.run(index))\" d=\"M2,4H26\"/></svg>\(name.asXML)</li>\n"
        }.joined()
        let figures = panels.map { panel in
            """
            <figure><svg viewBox="0 0 \(Int(PlotPanel.width)) \(Int(PlotPanel.height))" role="img" aria-label="\(panel.title.asXML)" \(panel.attributes)>
            \(panel.elements)</svg></figure>

            """
        }.joined()
        return """
            <!DOCTYPE html>
            <html xmlns="http://www.w3.org/1999/xhtml" lang="en">
            <head>
            <meta charset="utf-8"/>
            <meta name="viewport" content="width=device-width,initial-scale=1"/>
            <meta http-equiv="Content-Security-Policy" content="default-src 'none';style-src 'unsafe-inline';script-src 'unsafe-inline'"/>
            <title>\(heading.asXML)</title>
            <style>\(PlotStyle.svg)\(PlotStyle.page)</style>
            </head>
            <body>
            <h1>\(heading.asXML)</h1>
            \(names.count > 1 ? "<ul>\n\(legend)</ul>" : "")
            <main>
            \(panels.isEmpty ? "<p>\(Self.nothing)</p>\n" : figures)</main>
            \(table)
            <script>
            \(PlotStyle.script)
            </script>
            </body>
            </html>

            """
    }

    /// Where each run stands.
    private var table: String {
        let validation = runs.flatMap(\.metrics).lazy.map(\.metric).first { metric in
            if case .validation = metric { metric.prefersLess != nil } else { false }
        }
        var heads = ["Run", "Steps", "Epochs", "Tokens", "Time", "Training loss"]
        if let validation { heads.append("Best \(validation.title.lowercasedFirst)") }
        let rows = zip(runs, names).map { run, name in
            var cells = [
                name, run.step.map { Self.grouped($0) } ?? "–", run.epoch.map { PlotAxis.decimal($0, 2) } ?? "–",
                run.tokens.map { Self.grouped($0) } ?? "–", run.seconds.map(Self.duration) ?? "–",
                run[.loss].flatMap { ($0.smoothed ?? $0.extremes).last { $0 != nil } ?? nil }.map { PlotAxis.significant($0.value) } ?? "–",
            ]
            if let validation {
                let points = run[validation]?.extremes.compactMap { $0 } ?? []
                let best = validation.prefersLess == false ? points.max { $0.value < $1.value } : points.min { $0.value < $1.value }
                cells.append(best.map { "\(PlotAxis.significant($0.value)) (step \(Self.grouped(Int($0.step))))" } ?? "–")
            }
            return "<tr>" + cells.map { "<td>\($0.asXML)</td>" }.joined() + "</tr>\n"
        }
        return "<div class=\"scroll\"><table>\n<tr>\(heads.map { "<th scope=\"col\">\($0.asXML)</th>" }.joined())</tr>\n\(rows.joined())</table></div>"
    }

    private static func grouped(_ number: Int) -> String {
        var text = ""
        for (place, digit) in "\(number)".reversed().enumerated() { text = "\(digit)\(place > 0 && place % 3 == 0 ? "," : "")" + text }
        return text
    }

    private static func duration(_ seconds: Double) -> String {
        guard 0..<1e9 ~= seconds else { return "–" }
        let whole = Int(seconds)
        return seconds < 60 ? "\(PlotAxis.decimal(seconds, 1)) s" : seconds < 3600 ? "\(whole / 60) min \(whole % 60) s" : "\(whole / 3600) h \(whole / 60 % 60) min"
    }
}

extension String {
    fileprivate var lowercasedFirst: String { prefix(1).lowercased() + dropFirst() }
}

extension RunMetrics.Metric {
    fileprivate var title: String {
        switch self {
        case .loss: "Training loss"
        case .lossTerm(let name): "Loss term \(name)"
        case .validation(let name): "Validation \(name.replacing("_", with: " "))"
        case .learningRate: "Learning rate"
        case .gradientNorm: "Gradient norm"
        case .tokensPerSecond: "Tokens per second"
        }
    }

    /// The order of the diagrams.
    fileprivate var place: Int {
        switch self {
        case .loss: 0
        case .validation: 1
        case .lossTerm: 2
        case .learningRate: 3
        case .gradientNorm: 4
        case .tokensPerSecond: 5
        }
    }

    fileprivate var style: PlotPanel.Style {
        switch self {
        case .loss, .lossTerm, .gradientNorm, .tokensPerSecond: .noisy
        case .validation: .measured
        case .learningRate: .exact
        }
    }

    fileprivate var isLinear: Bool {
        switch self {
        case .learningRate, .tokensPerSecond: true
        case .validation: prefersLess != true
        default: false
        }
    }

    /// Of what a validation measures; nil for what is neither good nor bad.
    fileprivate var prefersLess: Bool? {
        guard case .validation(let name) = self else { return nil }
        if name == "loss" || name == "perplexity" || name.hasSuffix("_loss") { return true }
        return ["accuracy", "f1", "spearman", "pearson", "macro_f1"].contains(name) ? false : nil
    }
}
