/// One diagram: curves of several runs over their steps.
struct PlotPanel {
    struct Curve {
        /// Chooses colour and dashes.
        var run: Int
        var name: String
        var series: MetricSeries
    }

    enum Style {
        /// A value of every step: the values faint, and the curve without their noise.
        case noisy
        /// A value of every step that has no noise.
        case exact
        /// A value now and then, marked where it was measured.
        case measured
    }

    static let width = 600.0, height = 320.0
    private static let top = 40.0, bottom = 46.0, right = 26.0
    /// With more runs than this their noise would hide the curves.
    private static let maximumNoisyRuns = 4
    private static let maximumMarks = 60

    let title: String
    private let x, y: PlotAxis
    private let left: Double
    private let curves: [(curve: Curve, noise: [MetricSeries.Point?], line: [MetricSeries.Point?], gaps: [Double])]
    private let style: Style

    /// Nil when there is no number to draw.
    /// - Parameters:
    ///   - steps: what the horizontal axis shows; all curves lie within.
    ///   - isLinear: for what has no meaning on a logarithmic axis.
    init?(_ title: String, _ curves: [Curve], style: Style, steps: ClosedRange<Double>, isLinear: Bool) {
        self.title = title
        self.style = style
        self.curves = curves.map { curve in
            let extremes = curve.series.extremes
            let gaps = curve.series.buckets.compactMap(\.gap)
            guard style == .noisy, let smooth = curve.series.smoothed else { return (curve, [], extremes, gaps) }
            return (curve, curves.count <= Self.maximumNoisyRuns ? extremes : [], smooth, gaps)
        }
        let points = self.curves.flatMap { $0.noise + $0.line }.compactMap { $0 }
        guard let first = points.first else { return nil }
        let range = points.reduce((first, first)) { ($1.value < $0.0.value ? $1 : $0.0, $1.value > $0.1.value ? $1 : $0.1) }
        let (low, high) = (range.0.value, range.1.value)
        y = !isLinear && low > 0 && high / low >= 10 ? PlotAxis(logarithmic: low, high, count: 5) : PlotAxis(low, high, count: 5)
        x = PlotAxis(steps: steps)
        left = max(44, 14 + 6.8 * Double(y.ticks.map(\.label.count).max() ?? 0))
    }

    private var plotWidth: Double { Self.width - left - Self.right }
    private var plotHeight: Double { Self.height - Self.top - Self.bottom }

    private func place(_ point: MetricSeries.Point) -> (x: Double, y: Double) {
        (left + x.position(point.step) * plotWidth, Self.top + (1 - y.position(point.value)) * plotHeight)
    }

    /// What a reader of the picture needs to turn places into numbers: places of both ends of an axis, and what they stand for.
    var attributes: String {
        "data-x=\"\(left) \(Self.width - Self.right) \(x.lower) \(x.upper)\" "
            + "data-y=\"\(Self.height - Self.bottom) \(Self.top) \(y.lower) \(y.upper)\" data-log=\"\(y.isLogarithmic ? 1 : 0)\""
    }

    /// Elements of an SVG of `width` by `height`.
    var elements: String {
        let bottom = Self.height - Self.bottom, right = Self.width - Self.right
        var svg = text(16, 24, "title", title) + (y.isLogarithmic ? text(right, 24, "note end", "log scale") : "")
        for tick in y.ticks {
            let place = number(Self.top + (1 - y.position(tick.value)) * plotHeight, 1)
            svg += "<path class=\"grid\" d=\"M\(number(left, 1)),\(place)H\(number(right, 1))\"/>"
            svg += "<text class=\"tick end\" x=\"\(number(left - 8, 1))\" y=\"\(place)\" dy=\"4\">\(tick.label)</text>\n"
        }
        for tick in x.ticks {
            let place = number(left + x.position(tick.value) * plotWidth, 1)
            svg += "<path class=\"axis\" d=\"M\(place),\(number(bottom, 1))v4\"/>"
            svg += "<text class=\"tick middle\" x=\"\(place)\" y=\"\(number(bottom + 18, 1))\">\(tick.label)</text>\n"
        }
        svg += "<path class=\"axis\" d=\"M\(number(left, 1)),\(number(bottom, 1))H\(number(right, 1))\"/>"
        svg += text(right, Self.height - 10, "note end", "step")
        for (curve, noise, _, _) in curves where !noise.isEmpty { svg += path("noise", curve, noise) }
        for (curve, _, line, _) in curves { svg += path("line", curve, line) }
        for (curve, _, _, gaps) in curves { svg += marks(curve) + crosses(curve, gaps) }
        return svg
    }

    /// The curve, with no more than its lowest and its highest point in each column of the picture.
    private func path(_ kind: String, _ curve: Curve, _ points: [MetricSeries.Point?]) -> String {
        var data = "", isInside = false
        var column: (index: Int, low: (x: Double, y: Double), high: (x: Double, y: Double))?
        func emit(_ place: (x: Double, y: Double)) {
            data += (isInside ? "L" : "M") + number(place.x, 1) + "," + number(place.y, 2)
            isInside = true
        }
        func flush() {
            guard let done = column else { return }
            column = nil
            if done.low == done.high { return emit(done.low) }
            let (first, second) = done.low.x <= done.high.x ? (done.low, done.high) : (done.high, done.low)
            emit(first)
            emit(second)
        }
        func endSegment() {
            flush()
            // A point between gaps is a dot.
            if isInside, let start = data.lastIndex(of: "M"), !data[start...].contains("L") { data += "h0" }
            isInside = false
        }
        for point in points {
            guard let point else {
                // A gap narrower than the column does not show.
                if column == nil { continue }
                endSegment()
                continue
            }
            let place = place(point), index = Int(place.x)
            if let known = column, known.index == index {
                if place.y < known.low.y { column?.low = place }
                if place.y > known.high.y { column?.high = place }
            } else {
                flush()
                column = (index, place, place)
            }
        }
        endSegment()
        return "<path class=\"\(kind) \(PlotStyle.run(curve.run))\" data-run=\"\(curve.run)\" d=\"\(data)\"><title>\(curve.name.asXML)</title></path>\n"
    }

    private func marks(_ curve: Curve) -> String {
        let points = curve.series.extremes.compactMap { $0 }
        guard style == .measured, points.count <= Self.maximumMarks else { return "" }
        return points.map { point in
            let place = place(point), value = PlotAxis.significant(point.value)
            return "<circle class=\"\(PlotStyle.run(curve.run))\" cx=\"\(number(place.x, 1))\" cy=\"\(number(place.y, 2))\" r=\"3\">"
                + "<title>\(curve.name.asXML), step \(Int(point.step)): \(value)</title></circle>\n"
        }.joined()
    }

    /// Marks on the axis where a value was no number.
    private func crosses(_ curve: Curve, _ gaps: [Double]) -> String {
        gaps.prefix(Self.maximumMarks).map { step in
            let at = number(left + x.position(step) * plotWidth, 1), bottom = number(Self.height - Self.bottom, 1)
            return "<path class=\"cross \(PlotStyle.run(curve.run))\" d=\"M\(at),\(bottom)m-4,-4l8,8m0,-8l-8,8\">"
                + "<title>\(curve.name.asXML), step \(Int(step)): not a number</title></path>\n"
        }.joined()
    }

    private func text(_ x: Double, _ y: Double, _ kind: String, _ text: String) -> String {
        "<text class=\"\(kind)\" x=\"\(number(x, 1))\" y=\"\(number(y, 1))\">\(text.asXML)</text>\n"
    }

    private func number(_ value: Double, _ digits: Int) -> String { PlotAxis.trimmed(value, digits) }
}

extension String {
    /// As text or attribute of XML. Characters that XML 1.0 (section 2.2) does not have become U+FFFD.
    var asXML: String {
        unicodeScalars.reduce(into: "") { text, scalar in
            switch scalar {
            case "&": text += "&amp;"
            case "<": text += "&lt;"
            case ">": text += "&gt;"
            case "\"": text += "&quot;"
            case "'": text += "&#39;"
            case "\t", "\n", "\r": text += " "
            case "\0"..<" ", "\u{FFFE}", "\u{FFFF}": text += "\u{FFFD}"
            default: text.unicodeScalars.append(scalar)
            }
        }
    }
}
