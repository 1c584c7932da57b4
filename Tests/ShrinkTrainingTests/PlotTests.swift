import Foundation
import FoundationXML
import Testing

@testable import ShrinkTraining

struct PlotTests {
    private func series(_ values: [Double], from step: Double = 1) -> MetricSeries {
        var series = MetricSeries()
        for (index, value) in values.enumerated() { series.append(step: step + Double(index), value) }
        return series
    }

    /// Reads a file with these lines.
    private func read(_ lines: String, share: Double = 1) throws -> (run: RunMetrics, bad: [String]) {
        let scratch = Scratch()
        _ = scratch.file("metrics.jsonl", lines)
        var bad: [String] = []
        let rows = BadRows(maximumShare: share) { bad.append("\($0)".replacingOccurrences(of: scratch.path, with: "RUN")) }
        return (try RunMetrics(directory: scratch.path, badRows: rows), bad)
    }

    private func values(_ series: MetricSeries?) -> [Double?]? { series?.extremes.map { $0?.value } }

    private func wellFormed(_ text: String) -> Bool {
        let parser = XMLParser(data: Data(text.utf8))
        parser.shouldResolveExternalEntities = false
        return parser.parse()
    }

    // MARK: Series

    @Test func aShortSeriesIsKeptAsItIs() {
        let numbers = (0..<8192).map { sin(Double($0)) }
        #expect(values(series(numbers)) == numbers)
    }

    @Test(arguments: [8193, 20_000, 100_001])
    func aLongSeriesKeepsItsMeanAndTheExtremesOfEveryPart(count: Int) {
        var random = Random(seed: 5, count)
        let numbers = (0..<count).map { _ in random.nextUnit() - 0.5 }
        let series = series(numbers)
        #expect(series.buckets.count <= MetricSeries.capacity)
        var start = 0
        for bucket in series.buckets {
            let part = numbers[start..<start + bucket.total]
            #expect(bucket.low.value == part.min() && bucket.high.value == part.max())
            #expect(numbers[Int(bucket.low.step) - 1] == bucket.low.value && numbers[Int(bucket.high.step) - 1] == bucket.high.value)
            #expect(abs(bucket.mean - part.reduce(0, +) / Double(part.count)) < 1e-12)
            start += bucket.total
        }
        #expect(start == count)
    }

    @Test func whatIsNoNumberIsAGap() {
        #expect(values(series([1, .nan, 3, .infinity, -1e200, 6])) == [1, nil, 3, nil, nil, 6])
        #expect(series([1, .nan, 3]).buckets.map(\.gap) == [nil, 2, nil])
    }

    @Test func aStepThatComesAgainReplacesWhatFollowedIt() {
        var series = series([1, 2, 3, 4, 5])
        series.append(step: 3, 30)
        series.append(step: 4, 40)
        #expect(values(series) == [1, 2, 30, 40])
    }

    @Test func aStraightLineIsSmoothedToItself() {
        let line = (0..<500).map { 7 - 0.25 * Double($0) }
        let smoothed = series(line).smoothed ?? []
        #expect(smoothed.count == line.count)
        for (point, value) in zip(smoothed, line) { #expect(abs((point?.value ?? .nan) - value) < 1e-9) }
    }

    @Test func smoothingTakesNoiseAway() {
        let smoothed = series((0..<1000).map { $0 % 2 == 0 ? 1.0 : -1.0 }).smoothed ?? []
        for point in smoothed.dropFirst(50).dropLast(30) { #expect(abs(point?.value ?? .nan) < 0.01) }
    }

    // MARK: Axes

    @Test(arguments: [(0.0, 1.0), (2.31, 10.97), (-3.0, 4.0), (0.0, 3e-5), (1e6, 1.0001e6), (0.5, 0.5), (-1e100, 1e100), (0, 1e-100), (4999.5, 5000)])
    func ticksAreRoundInsideAndEvenlySpaced(low: Double, high: Double) {
        let axis = PlotAxis(low, high, count: 5)
        #expect(axis.lower <= low && axis.upper >= high)
        #expect(3...11 ~= axis.ticks.count, "\(axis.ticks)")
        let steps = zip(axis.ticks.dropFirst(), axis.ticks).map { $0.value - $1.value }
        for (step, tick) in zip(steps, axis.ticks) {
            #expect(abs(step - steps[0]) < 1e-6 * steps[0])
            let mantissa = step / pow(10, floor(log10(step) + 1e-9))
            #expect([1, 2, 5].contains { abs(mantissa - $0) < 1e-6 }, "\(step)")
            #expect(axis.lower <= tick.value && tick.value <= axis.upper)
        }
    }

    @Test(arguments: [(0.0, 1.0), (2.31, 10.97), (0.0, 3e-5), (1e6, 1.0001e6), (0, 23_456), (0, 7e13), (-0.004, 0.009)])
    func labelsDifferAndSayTheirValue(low: Double, high: Double) {
        let axis = PlotAxis(low, high, count: 5)
        #expect(Set(axis.ticks.map(\.label)).count == axis.ticks.count)
        for tick in axis.ticks {
            let units: [Character: Double] = ["k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12]
            let unit = tick.label.last.flatMap { units[$0] }
            let value = Double(unit == nil ? tick.label : String(tick.label.dropLast())).map { $0 * (unit ?? 1) }
            #expect(abs((value ?? .nan) - tick.value) <= 1e-9 * max(abs(low), abs(high)), "\(tick)")
        }
    }

    @Test(arguments: [1.0, 2, 3, 12, 3000, 40_000, 9e15])
    func stepsAreWholeNumbers(last: Double) {
        let axis = PlotAxis(steps: 0...last)
        #expect(axis.ticks.count >= 2 && axis.ticks.allSatisfy { $0.value == $0.value.rounded() })
        #expect(axis.lower == 0 && axis.upper == last)
    }

    @Test(arguments: [(1.0, 10.0), (0.02, 31), (1e-4, 5e4), (1e-100, 1e100)])
    func logarithmicTicksArePowersOfTenOrTheirHalves(low: Double, high: Double) {
        let axis = PlotAxis(logarithmic: low, high, count: 5)
        #expect(2...12 ~= axis.ticks.count, "\(axis.ticks)")
        for tick in axis.ticks {
            let mantissa = tick.value / pow(10, floor(log10(tick.value) + 1e-9))
            #expect([1, 2, 5].contains { abs(mantissa - $0) < 1e-6 })
        }
    }

    @Test func placesOnAxesFollowTheirScale() {
        let linear = PlotAxis(10, 30, count: 5), logarithmic = PlotAxis(logarithmic: 1, 10_000, count: 5)
        #expect(abs(linear.position((linear.lower + linear.upper) / 2) - 0.5) < 1e-12)
        #expect(linear.position(linear.lower) == 0 && linear.position(linear.upper) == 1)
        #expect(abs(logarithmic.position(100) - 0.5) < 1e-12)
    }

    // MARK: Files

    private static let line = #"{"step":1,"epoch":0.5,"loss":2.5,"losses":{"kl":1.5},"learning_rate":0.1,"gradient_norm":3,"tokens":100,"seconds":2}"#

    @Test func everyFieldBecomesACurve() throws {
        let next = #"{"step":2,"loss":2,"losses":{"kl":1},"learning_rate":0.2,"gradient_norm":2,"tokens":400,"seconds":4}"#
        let (run, bad) = try read(Self.line + "\n" + next + "\n" + #"{"step":2,"validation":{"loss":1.75,"note":"text"}}"# + "\n")
        #expect(bad.isEmpty && run.lineCount == 3)
        #expect(run.metrics.map(\.metric) == [.loss, .lossTerm("kl"), .learningRate, .gradientNorm, .tokensPerSecond, .validation("loss")])
        #expect(values(run[.loss]) == [2.5, 2] && values(run[.lossTerm("kl")]) == [1.5, 1] && values(run[.validation("loss")]) == [1.75])
        #expect(values(run[.tokensPerSecond]) == [50, 150])
        #expect(run.step == 2 && run.epoch == 0.5 && run.tokens == 400 && run.seconds == 4)
    }

    @Test func aLineThatIsBeingWrittenIsLeftOut() throws {
        for cut in 1..<Self.line.utf8.count {
            let (run, bad) = try read(Self.line + "\n" + Self.line.prefix(cut), share: 0)
            #expect(run.lineCount == 1 && bad.isEmpty)
        }
        #expect(try read(Self.line + "\n" + Self.line.replacingOccurrences(of: "\"step\":1", with: "\"step\":2"), share: 0).run.lineCount == 2)
    }

    @Test func badLinesAreNamedAndTheOthersDrawn() throws {
        let hostile = [
            "nonsense", "[1]", "{}", #"{"step":-1}"#, #"{"step":1.5}"#, #"{"step":1e300,"loss":1}"#, #"{"step":5,"loss":"x"}"#,
            #"{"step":5,"losses":[1]}"#, #"{"step":5,"validation":7}"#, #"{"step":5,"step":6}"#, "{\"step\":5,\"\u{0}\":1}",
            String(repeating: "[", count: 70_000), #"{"step":5,"losses":{"\#(String(repeating: "n", count: 100))":1}}"#,
            "{\"step\":5,\"losses\":{" + (0..<100).map { "\"\($0)\":1" }.joined(separator: ",") + "}}",
        ]
        for line in hostile {
            let (run, bad) = try read(Self.line + "\n" + line + "\n" + Self.line.replacingOccurrences(of: "\"step\":1", with: "\"step\":9") + "\n")
            #expect(bad.count == 1 && bad.allSatisfy { $0.hasPrefix("RUN/metrics.jsonl, line 2: ") && $0.utf8.count < 400 }, "\(bad)")
            #expect(values(run[.loss]) == [2.5, 2.5] && run.metrics.count == 5)
        }
    }

    @Test func aFileThatIsNoMetricsIsRefused() {
        #expect(message { _ = try read(String(repeating: "text\n", count: 5000), share: 0.01) }.contains("line 1000: "))
        #expect(message { _ = try RunMetrics(directory: "/no/such/run", badRows: BadRows(maximumShare: 0)) }.contains("/no/such/run/metrics.jsonl"))
    }

    // MARK: Pictures

    /// Points of the curves in `svg`, by their classes.
    private func paths(_ svg: String, _ kind: String) -> [[(x: Double, y: Double)]] {
        svg.components(separatedBy: "<path class=\"\(kind) ").dropFirst().map { rest in
            let data = rest.components(separatedBy: " d=\"")[1].prefix { $0 != "\"" }
            return data.split { "ML".contains($0) }.map { pair in
                let numbers = pair.split(separator: ",").compactMap { Double($0.replacingOccurrences(of: "h0", with: "")) }
                return (numbers[0], numbers[1])
            }
        }
    }

    private func panel(_ values: [Double], _ style: PlotPanel.Style, linear: Bool = true) throws -> PlotPanel {
        let curve = PlotPanel.Curve(run: 0, name: "run", series: series(values))
        return try #require(PlotPanel("title", [curve], style: style, steps: 0...Double(values.count), isLinear: linear))
    }

    /// The places of both ends of an axis and what they stand for.
    private func ends(_ panel: PlotPanel, _ name: String) throws -> [Double] {
        let numbers = panel.attributes.components(separatedBy: "\(name)=\"")[1].prefix { $0 != "\"" }.split(separator: " ").compactMap { Double($0) }
        try #require(numbers.count == 4)
        return numbers
    }

    @Test func pointsLieWhereTheAxesSay() throws {
        let values = [3.0, 1, 4, 1.5, 9, 2.6]
        let panel = try panel(values, .exact)
        let x = try ends(panel, "data-x"), y = try ends(panel, "data-y")
        let points = try #require(paths(panel.elements, "line").first)
        #expect(points.count == values.count)
        for (index, point) in points.enumerated() {
            #expect(abs(point.x - (x[0] + Double(index + 1) / 6 * (x[1] - x[0]))) <= 0.051)
            #expect(abs(point.y - (y[0] + (values[index] - y[2]) / (y[3] - y[2]) * (y[1] - y[0]))) <= 0.0051)
        }
    }

    @Test func aLogarithmicAxisPlacesPowersEvenly() throws {
        let points = try #require(paths(try panel([1, 10, 100, 1000], .exact, linear: false).elements, "line").first)
        let steps = zip(points.dropFirst(), points).map { $0.y - $1.y }
        #expect(steps.allSatisfy { abs($0 - steps[0]) <= 0.011 && $0 < 0 })
    }

    @Test func everySpikeOfALongCurveIsDrawn() throws {
        var values = [Double](repeating: 5, count: 50_000)
        for index in stride(from: 777, to: values.count, by: 5000) { values[index] = index % 2 == 0 ? 9 : 1 }
        let panel = try panel(values, .exact)
        let y = try ends(panel, "data-y"), points = try #require(paths(panel.elements, "line").first)
        func place(_ value: Double) -> Double { y[0] + (value - y[2]) / (y[3] - y[2]) * (y[1] - y[0]) }
        #expect(points.count <= 2 * Int(PlotPanel.width))
        #expect(points.count { abs($0.y - place(9)) < 0.01 } == values.count { $0 == 9 })
        #expect(points.count { abs($0.y - place(1)) < 0.01 } == values.count { $0 == 1 })
    }

    @Test func aGapDividesTheCurveAndIsMarked() throws {
        let svg = try panel([1, 2, .nan, 4, .nan, 6, 7], .exact).elements
        let data = svg.components(separatedBy: "<path class=\"line ")[1].components(separatedBy: " d=\"")[1].prefix { $0 != "\"" }
        #expect(data.count { $0 == "M" } == 3 && data.count { $0 == "L" } == 2 && data.contains("h0"))
        #expect(svg.components(separatedBy: "not a number").count == 3)
    }

    @Test func theSizeDoesNotGrowWithTheRun() throws {
        func size(_ count: Int) throws -> Int {
            var random = Random(seed: 1, count)
            return try panel((0..<count).map { _ in random.nextUnit() }, .noisy).elements.utf8.count
        }
        #expect(Double(try size(200_000)) < 1.2 * Double(try size(5000)))
    }

    @Test func pagesAndPicturesAreWellFormedWhateverTheNames() throws {
        let name = "a\u{1}<b>&\"'\\u{fffe}]]></title><script>"
        let quoted = name.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"").replacingOccurrences(of: "\u{1}", with: "\\u0001")
        let scratch = Scratch()
        var runs: [RunMetrics] = []
        for run in ["x<&>'\"", "empty"] {
            let directory = scratch.path + "/" + run
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            let lines = run == "empty" ? "" : (1...40).map { "{\"step\":\($0),\"loss\":\($0 % 7),\"validation\":{\"\(quoted)\":\($0)}}\n" }.joined()
            _ = scratch.file(run + "/metrics.jsonl", lines)
            runs.append(try RunMetrics(directory: directory, badRows: BadRows(maximumShare: 0)))
        }
        for some in [runs, [runs[0]], [runs[1]], []] {
            let plot = MetricPlot(some)
            #expect(wellFormed(plot.svg) && wellFormed(plot.html))
            #expect(!plot.html.contains("<b>") && !plot.svg.contains("\u{1}") && !plot.svg.contains("<script>"))
            #expect(plot.svg == MetricPlot(some).svg && plot.html == MetricPlot(some).html)
        }
    }

    @Test func nothingIsFetched() throws {
        let plot = MetricPlot([try read(Self.line).run])
        for text in [plot.html, plot.svg] {
            let addresses = text.components(separatedBy: "http").dropFirst().map { $0.prefix { !"\"' ".contains($0) } }
            #expect(addresses.allSatisfy { ["://www.w3.org/2000/svg", "://www.w3.org/1999/xhtml", "-equiv="].contains($0) })
            #expect(!text.contains("url(") && !text.contains("@import") && !text.contains(" src="))
        }
    }

    @Test func runsOfTheSameNameAreToldApart() {
        #expect(MetricPlot.names(["a/run", "b/run/", "c/./other"]) == ["a/run", "b/run", "other"])
        #expect(MetricPlot.names(["run", "run"]) == ["run", "run"])
        #expect(MetricPlot.names(["/"]) == ["/"])
    }

    @Test func everyColourStandsOutFromItsBackground() {
        // Relative luminance and contrast of WCAG 2.2.
        func luminance(_ colour: String) -> Double {
            let number = Int(colour.dropFirst(), radix: 16)!
            let channels = [16, 8, 0].map { shift -> Double in
                let c = Double(number >> shift & 255) / 255
                return c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4)
            }
            return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]
        }
        for (colours, background) in [(PlotStyle.light, PlotStyle.lightBackground), (PlotStyle.dark, PlotStyle.darkBackground)] {
            for colour in colours {
                let pair = [luminance(colour), luminance(background)].sorted()
                #expect((pair[1] + 0.05) / (pair[0] + 0.05) >= 3, "\(colour)")
            }
        }
    }
}
