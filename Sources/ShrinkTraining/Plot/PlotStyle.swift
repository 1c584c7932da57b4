/// Colours and type of the pictures, light and dark.
enum PlotStyle {
    /// Colours that people with colour-blindness tell apart, each at least 3 : 1 against its background (WCAG 2.2, 1.4.11).
    static let light = ["#0069a8", "#cf5300", "#007f5f", "#a3478d", "#8a6a00", "#2b8cd0", "#b3122b", "#5c5c5c"]
    static let dark = ["#5cb6f2", "#ff9149", "#36c79a", "#e593cf", "#dfc13a", "#93a6ff", "#ff7a7f", "#bdbdbd"]
    static let lightBackground = "#ffffff", darkBackground = "#15181c"
    private static let dashes = ["7 3", "2 3", "9 3 2 3"]
    /// Each has colour and dashes of its own.
    static let maximumRuns = 32

    /// The classes of a run's elements.
    static func run(_ index: Int) -> String {
        let dash = index / light.count
        return "run\(index % light.count)" + (dash > 0 ? " dash\(dash)" : "")
    }

    private static func scheme(_ colours: [String], page: String, text: String, faint: String, grid: String, axis: String) -> String {
        """
        .page{fill:\(page)}text{fill:\(text)}.tick,.note{fill:\(faint)}.grid{stroke:\(grid)}.axis{stroke:\(axis)}
        """ + colours.enumerated().map { ".run\($0){color:\($1)}" }.joined()
    }

    /// Without variables and the like: viewers of SVG are no browsers. Has no character that XML would have to escape, as the next.
    static let svg = """
        text{font:12px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}.title{font-size:15px;font-weight:600}
        .heading{font-size:20px;font-weight:600}.end{text-anchor:end}.middle{text-anchor:middle}.tick{font-variant-numeric:tabular-nums}
        .grid,.axis{fill:none;stroke-width:1}.line,.noise,.cross{fill:none;stroke:currentColor;stroke-linejoin:round;stroke-linecap:round}
        .line{stroke-width:2}.noise{stroke-width:1;stroke-opacity:.28}.cross{stroke-width:1.5}circle{fill:currentColor}
        \(dashes.enumerated().map { ".line.dash\($0 + 1){stroke-dasharray:\($1)}" }.joined())
        \(scheme(light, page: lightBackground, text: "#1b1f24", faint: "#59616b", grid: "#e6e8eb", axis: "#9aa1a9"))
        @media (prefers-color-scheme:dark){
        \(scheme(dark, page: darkBackground, text: "#e8eaed", faint: "#a3abb5", grid: "#2a2f36", axis: "#6b737d"))
        }
        """

    static let page = """
        :root{color-scheme:light dark}
        body{margin:0 auto;padding:1.5rem;max-width:84rem;background:\(lightBackground);color:#1b1f24;font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
        h1{font-size:1.35rem;margin:0 0 .5rem}ul{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin:0 0 1rem;padding:0}
        li{display:flex;align-items:center;gap:.5rem;overflow-wrap:anywhere}li svg{flex:none}
        main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:1rem}
        figure{margin:0;position:relative;border:1px solid #e6e8eb;border-radius:8px;overflow:hidden}figure svg{display:block;width:100%;height:auto;touch-action:pan-y}
        .scroll{overflow-x:auto;margin-top:1.5rem}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
        th,td{padding:.3rem .9rem .3rem 0;text-align:right;border-bottom:1px solid #e6e8eb;white-space:nowrap}th:first-child,td:first-child{text-align:left}
        th{font-weight:600}output{position:absolute;top:2.6rem;pointer-events:none;padding:.35rem .6rem;border-radius:6px;font-size:13px;line-height:1.4;
        background:#1b1f24;color:#fff;opacity:.93;white-space:pre;font-variant-numeric:tabular-nums}
        .cursor{stroke:#9aa1a9;stroke-width:1;stroke-dasharray:3 3}
        @media (prefers-color-scheme:dark){body{background:\(darkBackground);color:#e8eaed}figure,th,td{border-color:#2a2f36}output{background:#e8eaed;color:#15181c}}
        """

    /// Shows the values under the pointer, which it reads from the curves; the page is complete without it.
    /// Has no character that XML would have to escape.
    static let script = """
        for (const svg of document.querySelectorAll("figure svg")) {
          const [x0, x1, a, b] = svg.dataset.x.split(" ").map(Number), [y0, y1, c, d] = svg.dataset.y.split(" ").map(Number);
          const log = svg.dataset.log === "1", at = (v, p, q, r, s) => r + (v - p) / (q - p) * (s - r);
          const value = y => log ? Math.exp(at(y, y0, y1, Math.log(c), Math.log(d))) : at(y, y0, y1, c, d);
          const lines = [...svg.querySelectorAll(".line")].map(path => ({
            name: path.textContent,
            points: [...path.getAttribute("d").matchAll(/([\\d.]+),([\\d.]+)/g)].map(m => [Number(m[1]), Number(m[2])])
          }));
          svg.querySelectorAll("title").forEach(title => title.remove());
          const cursor = document.createElementNS("http://www.w3.org/2000/svg", "path"), box = document.createElement("output");
          cursor.setAttribute("class", "cursor");
          const leave = () => { cursor.remove(); box.remove(); };
          svg.addEventListener("pointerleave", leave);
          svg.addEventListener("pointermove", event => {
            const frame = svg.getBoundingClientRect(), x = (event.clientX - frame.left) / frame.width * \(Int(PlotPanel.width));
            const near = lines.map(({name, points}) => ({name, point: points.reduce((p, q) => Math.abs(p[0] - x) > Math.abs(q[0] - x) ? q : p)}));
            const nearest = near.reduce((p, q) => Math.abs(p.point[0] - x) > Math.abs(q.point[0] - x) ? q : p).point[0];
            const shown = near.filter(({point}) => 8 > Math.abs(point[0] - nearest));
            cursor.setAttribute("d", `M${nearest},${y1}V${y0}`);
            svg.append(cursor);
            box.textContent = ["step " + Math.round(at(nearest, x0, x1, a, b)).toLocaleString("en")]
              .concat(shown.map(({name, point}) => (lines.length > 1 ? name + "  " : "") + Number(value(point[1]).toPrecision(4)))).join("\\n");
            svg.parentNode.append(box);
            const left = nearest / \(Int(PlotPanel.width)) * frame.width;
            box.style.left = (left > frame.width / 2 ? left - box.offsetWidth - 12 : left + 12) + "px";
          });
        }
        """
}
