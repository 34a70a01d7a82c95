// Looks at every screen of a running console in Chromium: logs in, in both languages, light and dark,
// at a bench PC's size and at a phone's; axe-core has to find nothing, and no page may be told off by
// its own content policy. Pictures go to LABWIRE_SHOTS, where that is set.
//
//     node look.mjs ADDRESS LOGIN PASSWORD
//
import { open } from "./browser.mjs";

const [address, login, password] = process.argv.slice(2);
const { context, page, check, shot, accessible, like, finish } = await open();

async function logIn() {
  await page.goto(`${address}/login`);
  await page.fill("#login", login);
  await page.fill("#password", password);
  await page.click("button[type=submit]");
  await page.waitForSelector(".menu");
}

await page.goto(`${address}/queue`);
check(page.url().includes("/login?next="), `without a session: ${page.url()}`);
await shot("login");
await accessible("login");
await logIn();
check(page.url().startsWith(address), "logged in");

// The automation line while tubes are under way: whoever clicks one sees it.
await page.goto(`${address}/track`);
await page.waitForSelector(".line-map svg");
await shot("track-busy");
await accessible("track-busy");
const underWay = await page.evaluate(() => document.querySelector("a.mark")?.getAttribute("href") ?? "");
if (underWay !== "") {
  await page.goto(`${address}${underWay}`);
  check(await page.isVisible(".timeline"), `a tube on the line leads to its page: ${underWay}`);
}

// A tube and a line to look at.
await page.goto(`${address}/devices`);
const line = await page.getAttribute(".board a", "href");
const tube = await page.evaluate(async () => {
  const work = await (await fetch("/api/v1/work")).json();
  const found = work.entries.map((one) => one.subject).find((one) => one.kind === "result" && one.barcode);
  return found ? `/specimens?q=${encodeURIComponent(found.barcode)}` : "/specimens";
});
const screens = {
  work: "/", calls: "/calls", alerts: "/alerts", devices: "/devices", device: line, specimens: "/specimens", specimen: tube, name: "/specimens?q=nguyen",
  queue: "/queue", waiting: "/queue?state=waiting", qc: "/qc", audit: "/audit", settings: "/settings", profiles: "/settings/profiles", users: "/users",
  me: "/me", missing: "/no-such-page",
  track: "/track", downtime: "/downtime", worklist: "/downtime/worklist", numbers: "/numbers",
  paper: tube.replace("/specimens?", "/downtime/paper?"),
};

// The HIS is down: somebody keys an order in, and takes another back.
async function key(barcode, name) {
  await page.goto(`${address}/downtime`);
  await page.fill("#barcode", barcode);
  await page.fill("#number", `BN${barcode}`);
  await page.fill("#name", name);
  await page.fill("#birth", "5/11/1991");
  await page.selectOption("#sex", "F");
  if (!(await page.isVisible(".ticks"))) await page.click(".choices summary");
  await page.check(".ticks input >> nth=0");
  await page.check(".ticks input >> nth=1");
  await page.click(".keyed button[type=submit]");
  await page.waitForSelector(".made");
}
await key("TAM0001", "Trần Thị Bình");
await key("TAM0002", "Lê Văn <b>An</b>");
await page.fill("li:first-child form.inline input[name=reason]", "nhập sai");
await page.click("li:first-child form.inline button");
await page.waitForSelector("li:first-child .state.plain");
await page.goto(`${address}/downtime/paper?q=TAM0001`);
await page.evaluate(() => { window.print = () => {}; });
await page.click("form[action='/downtime/paper'] button");
await page.waitForSelector("[data-print=now] .sign");
await shot("printed");
await accessible("printed");
await page.emulateMedia({ media: "print" });
await shot("printed-paper");
check(!(await page.isVisible(".menu")), "no menu on paper");
await page.emulateMedia({ media: "screen" });
// A form that is refused keeps what was typed and says why.
await page.goto(`${address}/downtime`);
await page.fill("#barcode", "TAM0003");
await page.fill("#name", "Ngô Văn Sơn");
await page.click(".keyed button[type=submit]");
await page.waitForSelector("[role=alert] .state.look");
check(await page.inputValue("#name") === "Ngô Văn Sơn", "what was typed is kept");
await accessible("refused");

for (const language of ["vi", "en"]) {
  for (const theme of ["light", "dark"]) {
    await like(address, language, theme);
    for (const [name, path] of Object.entries(screens)) {
      await page.goto(`${address}${path}`);
      // News of the stream and the chart are there a moment later.
      if (name === "qc") await page.waitForSelector(".charts article, .empty");
      if (name === "track") await page.waitForSelector(".line-map svg");
      if (name === "queue") await page.waitForSelector(".sentence");
      await shot(`${name}-${language}-${theme}`);
      await accessible(`${name} ${language} ${theme}`);
    }
  }
}

// Keys: the list of them, the scan field, the places.
await page.goto(`${address}/`);
await page.keyboard.press("?");
check(await page.isVisible("#keys"), "? shows the keys");
await accessible("keys");
await page.keyboard.press("Escape");
await page.keyboard.press("/");
check(await page.evaluate(() => document.activeElement.id === "scan"), "/ leads to the scan field");
await page.keyboard.press("Escape");
await page.keyboard.press("2");
await page.waitForURL("**/devices");
await page.keyboard.press("j");
check(await page.evaluate(() => document.activeElement.id.startsWith("line-")), "j leads to a row");
// Live: the stream opens, and the counts of the menu come by it.
await page.waitForSelector(".menu .badge");

// A page and what it needs stay small.
const size = await page.evaluate(() => performance.getEntriesByType("navigation")[0].encodedBodySize);
check(size < 60_000, `the page of devices has ${size} bytes`);

// A control that was measured twice has a chart.
let hasChart = false;
for (let tries = 0; tries < 40 && !hasChart; tries += 1) {
  await page.goto(`${address}/qc`);
  hasChart = await page.waitForSelector(".uplot canvas", { timeout: 2000 }).then(() => true, () => false);
}
check(hasChart, "a control has a Levey-Jennings chart");
await shot("chart");

// A phone.
await page.setViewportSize({ width: 390, height: 844 });
for (const name of ["work", "calls", "alerts", "devices", "device", "queue", "specimen", "track", "downtime", "worklist", "paper", "numbers"]) {
  await page.goto(`${address}${screens[name]}`);
  await shot(`phone-${name}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth + 1);
  const widest = wide && await page.evaluate(() => [...document.querySelectorAll("main *")]
    .filter((one) => one.getBoundingClientRect().right > window.innerWidth + 1 && !one.closest(".wide, .wire, .bytes"))
    .map((one) => `${one.tagName}.${one.className}`).slice(0, 5).join(" "));
  check(!wide, `${name} is wider than a phone: ${widest}`);
}
await page.setViewportSize({ width: 1280, height: 720 });

// Out, and out for good.
const cookies = await context.cookies();
await page.goto(`${address}/`);
await page.click(".top form[action='/logout'] button");
await page.waitForURL("**/login");
await context.addCookies(cookies);
await page.goto(`${address}/devices`);
check(page.url().includes("/login"), "a cookie of an ended session opens nothing");

process.exit(await finish());
