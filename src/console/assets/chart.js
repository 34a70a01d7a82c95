// Levey-Jennings charts: a value for each run, lines at the mean and at 1, 2 and 3 standard deviations.
"use strict";
(() => {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const draw = (place) => {
    const data = JSON.parse(place.dataset.chart);
    const order = data.at.map((_, at) => at + 1);
    const level = (by) => order.map(() => (data.mean === null ? null : data.mean + by * data.deviation));
    const levels = data.mean === null ? [] : [
      { by: 0, label: "x̄", stroke: "--text", dash: [] },
      ...[1, -1].map((by) => ({ by, label: `${by} s`, stroke: "--line-strong", dash: [2, 4] })),
      ...[2, -2].map((by) => ({ by, label: `${by} s`, stroke: "--look", dash: [6, 4] })),
      ...[3, -3].map((by) => ({ by, label: `${by} s`, stroke: "--act", dash: [10, 4] })),
    ];
    const number = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 4 });
    const told = (_, ticks) => ticks.map((tick) => number.format(tick));
    const axis = { values: told, stroke: colour("--text"), grid: { show: false }, ticks: { stroke: colour("--line") } };
    const chart = new uPlot({
      width: place.clientWidth, height: 200, legend: { show: false }, cursor: { drag: { x: false, y: false } },
      scales: { x: { time: false } },
      axes: [{ ...axis, incrs: [1, 2, 5, 10, 20] }, { ...axis, size: 64 }],
      series: [{}, {
        label: place.dataset.unit, stroke: colour("--accent"), width: 1.5,
        points: { show: true, size: 7, fill: colour("--accent") },
      }, ...levels.map((one) => ({
        label: one.label, stroke: colour(one.stroke), width: 1, dash: one.dash, points: { show: false },
      }))],
    }, [order, data.value, ...levels.map((one) => level(one.by))], place);
    window.addEventListener("resize", () => chart.setSize({ width: place.clientWidth, height: 200 }));
  };
  document.querySelectorAll("[data-chart]").forEach(draw);
})();
