// Charts from data-chart, in the colours of tokens.css: built again when the theme changes; a click leads to the calls.
"use strict";

(() => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.hidden = true;
  const colour = (token) => {
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  };
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const font = getComputedStyle(document.body).fontFamily;
  const lang = document.documentElement.lang;
  const cents = (usd) => usd.toLocaleString("en-US", { style: "currency", currency: "USD" });
  const money = (usd) => (usd > 0 && usd < 0.005 ? "<$0.01" : cents(usd)); // as the tables beside it say it
  const whole = (usd) => `$${Math.round(usd).toLocaleString("en-US")}`;
  const short = (usd) => (usd >= 1000 ? `$${(usd / 1000).toLocaleString("en-US")}k` : `$${usd.toLocaleString("en-US")}`);

  function element(name, text, css) {
    const made = document.createElement(name);
    made.textContent = String(text).replace(/[\u202a-\u202e\u2066-\u2069]/g, "");
    if (css) made.className = css;
    return made;
  }

  // The tip is an element with classes: markup with style attributes would be refused by the content policy.
  function tip(title, lines, hint) {
    const box = element("div", "", "tip");
    box.append(element("b", title));
    for (const [name, value, css] of lines) {
      const line = element("p", "", css);
      line.append(element("span", name), element("span", value));
      box.append(line);
    }
    if (hint) box.append(element("small", hint));
    return box;
  }

  function base() {
    return {
      animation: false,
      textStyle: { fontFamily: font, fontSize: 12, color: colour("--ink-3") },
      tooltip: {
        trigger: "axis",
        confine: true,
        backgroundColor: "transparent",
        borderWidth: 0,
        padding: 0,
        extraCssText: "box-shadow:none",
        transitionDuration: still ? 0 : 0.1,
        axisPointer: { type: "line", lineStyle: { color: colour("--c-axis"), width: 1 } },
      },
    };
  }

  const xAxis = (names, more) => ({
    type: "category",
    data: names,
    axisLine: { lineStyle: { color: colour("--c-axis") } },
    axisTick: { show: false },
    axisLabel: { color: colour("--ink-3"), fontSize: 12, hideOverlap: true },
    ...more,
  });
  const yAxis = (more) => ({
    type: "value",
    min: 0,
    splitNumber: 5,
    splitLine: { lineStyle: { color: colour("--c-grid") } },
    axisLabel: { color: colour("--ink-3"), fontSize: 12, formatter: short },
    ...more,
  });

  function cumulative(data) {
    const n = data.days.length;
    const today = data.spent.length - 1;
    const last = data.spent[today] ?? 0;
    const isNarrow = innerWidth < 760;
    const rise = (end) => data.days.map((_, i) => (i < today ? null : last + ((end - last) * (i - today)) / Math.max(1, n - 1 - today)));
    const low = data.outlook && rise(data.outlook[0]);
    const high = data.outlook && rise(data.outlook[2]);
    const line = { type: "line", symbol: "none", silent: true };
    const end = (text, token) => ({
      show: !isNarrow,
      formatter: text,
      color: colour(token),
      fontWeight: 700,
      fontFamily: font,
      distance: 8,
    });
    const series = [
      { ...line, data: data.before, lineStyle: { width: 1.5, type: "dotted", color: colour("--c6") } },
      {
        ...line,
        data: data.spent,
        lineStyle: { width: 2, color: colour("--c1") },
        areaStyle: { color: colour("--c-band"), opacity: 0.55 },
      },
    ];
    if (data.outlook && today < n - 1) {
      series.push(
        { ...line, stack: "interval", data: low, lineStyle: { width: 0 } },
        { ...line, stack: "interval", data: high.map((v, i) => (v === null ? null : v - low[i])), lineStyle: { width: 0 }, areaStyle: { color: colour("--c-band") } },
        { ...line, data: rise(data.outlook[1]), lineStyle: { width: 2, type: [5, 4], color: colour("--c1") }, endLabel: end(`${data.words.outlook} ${whole(data.outlook[1])}`, "--ink") },
      );
    }
    series.push({
      type: "scatter",
      silent: true,
      symbolSize: 9,
      data: today >= 0 ? [[today, last]] : [],
      itemStyle: { color: colour("--c1"), borderColor: colour("--surface"), borderWidth: 2 },
      label: { show: true, position: today > n / 4 ? [-64, -22] : [14, -22], formatter: money(last), color: colour("--accent"), fontWeight: 700, fontFamily: font },
      markLine: data.outlook && today < n - 1 ? {
        silent: true,
        symbol: "none",
        label: { show: false },
        lineStyle: { type: [1.5, 3.5], color: colour("--ink-2"), width: 1 },
        data: [{ xAxis: today }],
      } : undefined,
    });
    if (data.budget !== null) {
      const beam = { type: "line", symbol: "none", silent: true, lineStyle: { width: 1.5, color: colour("--post") } };
      series.push({
        ...beam,
        data: data.days.map(() => data.budget),
        markPoint: { symbolSize: 0.1, data: [{ coord: [0, data.budget] }], label: { show: true, position: [4, -18], formatter: `${data.words.budget} ${money(data.budget)}`, color: colour("--ink"), fontWeight: 700, fontFamily: font } },
        markLine: { silent: true, symbol: "none", label: { show: false }, lineStyle: { width: 3, type: "solid", color: colour("--post") }, data: [[{ coord: [n - 1, 0] }, { coord: [n - 1, data.budget] }]] },
      });
    }
    series.push({
      type: "bar",
      xAxisIndex: 1,
      yAxisIndex: 1,
      barWidth: "58%",
      data: data.daily.map((value, i) => ({ value, itemStyle: { color: colour("--c1"), opacity: i === today ? 1 : 0.58 } })),
      cursor: "pointer",
    });
    const labels = { interval: (i) => i === n - 1 || (i % 7 === 0 && i < n - 3) };
    return {
      ...base(),
      grid: [
        { left: 48, right: isNarrow ? 12 : 104, top: 26, bottom: 98 },
        { left: 48, right: isNarrow ? 12 : 104, height: 52, bottom: 26 },
      ],
      xAxis: [
        xAxis(data.days, { axisLabel: { show: false }, boundaryGap: true }),
        xAxis(data.days, { gridIndex: 1, axisLabel: { color: colour("--ink-3"), fontSize: 12, ...labels } }),
      ],
      yAxis: [yAxis(), yAxis({ gridIndex: 1, splitNumber: 1, splitLine: { show: false }, axisLabel: { show: false } })],
      axisPointer: { link: [{ xAxisIndex: "all" }] },
      tooltip: {
        ...base().tooltip,
        formatter: (found) => {
          const i = found[0].dataIndex;
          const lines = [];
          if (i <= today) lines.push([data.words.day, money(data.daily[i])], [data.words.spent, money(data.spent[i]), "sum"]);
          else if (data.outlook) lines.push([data.words.interval, `${whole(low[i])} – ${whole(high[i])}`]);
          if (data.before[i] !== undefined) lines.push([data.words.before, money(data.before[i])]);
          return tip(data.names[i], lines, i <= today ? data.words.calls : "");
        },
      },
      series,
    };
  }

  function stacked(data) {
    const colours = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"];
    return {
      ...base(),
      grid: { left: 52, right: 12, top: 14, bottom: 26 },
      xAxis: xAxis(data.names),
      yAxis: yAxis(),
      tooltip: {
        ...base().tooltip,
        formatter: (found) => {
          const i = found[0].dataIndex;
          const lines = data.series.filter((one) => one.values[i]).map((one) => [one.name, money(one.values[i])]);
          const sum = data.series.reduce((total, one) => total + one.values[i], 0);
          return tip(data.names[i], [...lines.reverse(), [data.words.sum, money(sum), "sum"]], data.words.calls);
        },
      },
      series: data.series.map((one, number) => ({
        type: "bar",
        stack: "all",
        name: one.name,
        barWidth: "58%",
        barMaxWidth: 44,
        data: one.values,
        cursor: "pointer",
        itemStyle: { color: colour(colours[number]) },
      })),
    };
  }

  function round(most) {
    const step = 10 ** Math.floor(Math.log10(most)) / 2;
    return Math.ceil(most / step) * step;
  }

  function days(data) {
    const today = data.values.length - 1;
    return {
      ...base(),
      grid: { left: 44, right: 12, top: 24, bottom: 26 },
      xAxis: xAxis(data.names, { axisLabel: { color: colour("--ink-3"), fontSize: 12, hideOverlap: true } }),
      yAxis: yAxis({ splitNumber: 3, max: data.limit ? (value) => round(Math.max(value.max, data.limit * 1.12)) : undefined }),
      tooltip: {
        ...base().tooltip,
        formatter: (found) => tip(data.titles[found[0].dataIndex], [[data.words.day, money(data.values[found[0].dataIndex] ?? 0)]], data.words.calls),
      },
      series: [
        {
          type: "bar",
          barWidth: "60%",
          cursor: "pointer",
          data: data.values.map((value, i) => ({ value, itemStyle: { color: colour("--c1"), opacity: i === today ? 1 : 0.6 } })),
          markLine: data.limit
            ? { silent: true, symbol: "none", lineStyle: { type: [5, 4], width: 1.5, color: colour("--post") }, label: { position: "insideEndTop", formatter: `${data.words.limit} ${money(data.limit)}`, color: colour("--ink-2"), fontFamily: font }, data: [{ yAxis: data.limit }] }
            : undefined,
        },
      ],
    };
  }

  const MAKERS = { cumulative, stacked, days };
  const drawn = new Map();

  function draw(box) {
    const data = JSON.parse(box.dataset.chart);
    const chart = drawn.get(box) ?? echarts.init(box, null, { renderer: "svg", locale: lang === "ja" ? "JA" : "EN" });
    chart.setOption(MAKERS[data.kind](data), true);
    if (drawn.has(box)) return;
    drawn.set(box, chart);
    box.addEventListener("sekisho:chart", () => draw(box));
    chart.getZr().on("click", (event) => {
      const found = [0, 1].map((grid) => (chart.getModel().getComponent("grid", grid) ? [grid, chart.convertFromPixel({ gridIndex: grid }, [event.offsetX, event.offsetY])] : null));
      const hit = found.find((one) => one && chart.containPixel({ gridIndex: one[0] }, [event.offsetX, event.offsetY]));
      const day = hit && data.dates[Math.round(hit[1][0])];
      if (!day) return;
      const until = data.ends ? data.ends[Math.round(hit[1][0])] : day;
      location.assign(data.open.replace("{day}", day).replace("{day}", until));
    });
  }

  const boxes = document.querySelectorAll("[data-chart]");
  const drawAll = () => boxes.forEach(draw);
  addEventListener("resize", () => drawn.forEach((chart) => chart.resize()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
})();
