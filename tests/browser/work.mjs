// The work list in Chromium: why results are held, a code mapped once and at the HIS, undo, a tube
// linked, and twenty held results cleared by the keyboard alone. Starts a bridge of its own with a
// simulated HIS; the analyzer is here: it sends what it is told, and nobody else's codec wrote it.
//
//     node work.mjs FOLDER LABWIRE LABWIRE-SIM
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { open } from "./browser.mjs";

const [folder, labwire, sim] = process.argv.slice(2);
const PASSWORD = "mot dem truc yen binh";
const { page, check, shot, accessible, like, finish } = await open();

// A program and the lines that it wrote; `until` waits for one of them.
const programs = [];
function program(command, ...options) {
  const child = spawn(command, options, { stdio: ["ignore", "pipe", "pipe"] });
  programs.push(child);
  const lines = [], waiting = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      waiting.splice(0).forEach((look) => look());
    });
  }
  const until = (what, find, patience = 60000) => new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`never: ${what}\n${lines.slice(-20).join("\n")}`)), patience);
    const look = () => {
      const found = find(lines);
      if (found) { clearTimeout(timer); done(found); } else { waiting.push(look); }
    };
    look();
  });
  return { lines, until };
}
const end = () => programs.forEach((child) => child.kill("SIGINT"));
process.on("exit", end);

// --- the site -------------------------------------------------------------------------------

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const his = program(sim, "his", "--results", "127.0.0.1:0");
const results = (await his.until("the HIS listens", (lines) => lines.find((line) => line.startsWith("results "))))
  .split(" ")[1];
copyFileSync(join(import.meta.dirname, "../../config/catalogue.toml"), join(folder, "catalogue.toml"));
writeFileSync(join(folder, "lab.toml"), `
[lab]
name = "Khoa Xét nghiệm"
timezone = "Asia/Ho_Chi_Minh"
catalogue = "catalogue.toml"

[console]
listen = "127.0.0.1:0"

[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "mllp://${results}"

[[instrument]]
id = "bio-1"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:0"
tests = { GLU = "GLU", NA = "NA", WBC = "WBC" }
`);
const bridge = program(labwire, "run", "-c", join(folder, "lab.toml"), "--log-format", "json");
const event = (find) => (lines) => {
  for (const line of lines) {
    try {
      const found = find(JSON.parse(line));
      if (found) return found;
    } catch { /* not an event */ }
  }
  return undefined;
};
const portOf = (line) => bridge.until(`${line} listens`, event((one) =>
  one.span?.line === line && one.fields?.message === "listening" && one.fields.at?.split(":").pop()));
const setup = await bridge.until("the console opens", event((one) =>
  one.fields?.message?.match(/create the administrator at (http:\S+)/)?.[1]));
const address = new URL(setup).origin;

const cleared = Array.from({ length: 20 }, (_, at) => `260310010${String(at).padStart(2, "0")}`);
const unmapped = Array.from({ length: 6 }, (_, at) => `260310020${String(at).padStart(2, "0")}`);
const lost = "26031003000";
const orders = [...cleared, ...unmapped, lost].flatMap((tube) => ["--order", `${tube}=GLU,NA,K,WBC`]);
const ordering = program(sim, "his", "--orders", `127.0.0.1:${await portOf("host:his")}`, ...orders);
await ordering.until("the orders are answered", (lines) =>
  lines.find((line) => line.startsWith(`orders ${cleared.length + unmapped.length + 1} accepted`)));

// --- the analyzer ---------------------------------------------------------------------------

const line = connect(Number(await portOf("bio-1")), "127.0.0.1");
let heard = [], listener = null;
line.on("data", (bytes) => { heard.push(...bytes); listener?.(); });
const reply = async () => {
  while (heard.length === 0) await new Promise((done) => { listener = done; });
  return heard.shift();
};
const ENQ = 5, ACK = 6, EOT = 4;

// LIS01-A2 8: establishment, one record a frame, termination.
async function say(tube, found) {
  const records = ["H|\\^&|||ANALYZER1^1.0|||||BRIDGE||P|LIS2-A2", "P|1", `O|1|${tube}||^^^GLU|R||||||||||||||||||||F`,
    ...found.map(([code, value, unit, flag], at) => `R|${at + 1}|^^^${code}|${value}|${unit}||${flag}||F`), "L|1|N"];
  line.write(Buffer.from([ENQ]));
  check(await reply() === ACK, "the bridge takes the analyzer's ENQ");
  for (const [at, record] of records.entries()) {
    const text = `${(at + 1) % 8}${record}\r\x03`;
    const sum = [...Buffer.from(text, "latin1")].reduce((sum, byte) => (sum + byte) % 256, 0);
    line.write(Buffer.from(`\x02${text}${sum.toString(16).toUpperCase().padStart(2, "0")}\r\n`, "latin1"));
    check(await reply() === ACK, `frame ${at + 1} of ${tube} is acknowledged`);
  }
  line.write(Buffer.from([EOT]));
}

const work = () => page.evaluate(async () => (await fetch("/api/v1/work")).json());
async function untilWork(count) {
  let now = {};
  for (let tries = 0; tries < 200; tries += 1) {
    now = await work();
    if (now.to_decide === count) return now;
    await page.waitForTimeout(100);
  }
  throw new Error(`never ${count} to decide: ${now.to_decide}`);
}
// Where one stands, a moment after the page is there.
const stands = (where) => page.waitForFunction((own) => document.activeElement?.matches(own), where, { timeout: 10000 })
  .then(() => true, () => false);
const standsOn = () => stands(".rows > li");
const focused = () => page.evaluate(() => document.activeElement?.innerText ?? "");
const press = (key) => page.keyboard.press(key);
// An act of the list: its letter, then Enter on the button that it led to.
async function act(key) {
  await press(key);
  await page.waitForFunction((own) => document.activeElement?.dataset.act === own, key);
  await Promise.all([page.waitForURL((url) => url.pathname === "/"), page.waitForEvent("load"), press("Enter")]);
}

async function fits(name, path) {
  await page.goto(`${address}${path}`);
  await shot(`phone-acts-${name}`, { fullPage: true });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth + 1);
  check(!wide, `${name} is wider than a phone`);
}

// --- the first administrator, and what is held ----------------------------------------------

await page.goto(setup);
await page.fill("input[name=name]", "Nguyễn Thị Lan");
await page.fill("input[name=login]", "lan");
for (const field of await page.$$("input[type=password]")) await field.fill(PASSWORD);
await page.click("button[type=submit]");
await page.waitForSelector(".menu");

for (const [at, tube] of unmapped.entries()) await say(tube, [["POT", `4.${at}`, "mmol/L", "N"]]);
await say(unmapped[0], [["WBC", "6.41", "10*3/uL", "N"], ["GLU", "31.4", "mmol/L", "CLOT"]]);
await say("", [["NA", "139", "mmol/L", "N"], ["GLU", "5.44", "mmol/L", "N"]]);
const held = await untilWork(unmapped.length + 4);
const entry = (value) => held.entries.find((one) => one.subject.observation?.text === value);

// --- both languages, every screen of the work list ------------------------------------------

const of = (value, path = "") => `/held/${entry(value).subject.id}${path}`;
const screens = {
  "work": "/", "work-late": "/?part=late", "work-unordered": "/?part=unordered",
  "held": of("31.4"), "held-unit": of("6.41"), "map": of("4.0", "/map"), "map-found": of("4.0", "/map?q=kali"),
  "link": of("139", "/link"), "link-found": of("139", "/link?q=nguyen"),
};
await page.goto(`${address}${screens["link-found"]}`);
screens["link-pair"] = await page.getAttribute(".rows a[data-open]", "href");
for (const [language, theme] of [["en", "dark"], ["vi", "light"]]) {
  await like(address, language, theme);
  for (const [name, path] of Object.entries(screens)) {
    await page.goto(`${address}${path}`);
    await shot(`${name}-${language}-${theme}`, { fullPage: true });
    await accessible(`${name} ${language} ${theme}`);
  }
}

await page.setViewportSize({ width: 390, height: 844 });
await fits("map", screens.map);
await page.setViewportSize({ width: 1280, height: 720 });

// --- why, and counts that agree -------------------------------------------------------------

await page.goto(`${address}/`);
const text = await page.innerText("main");
check(text.includes("Máy gửi một mã xét nghiệm chưa được ghép"), "a held result says why in a sentence");
check(text.indexOf("31.4") < text.indexOf("4.0"), "the critical value comes first");
await page.waitForSelector(".menu .badge");
const badge = await page.innerText(".menu [aria-current] .badge");
const number = await page.innerText(".numbers .number");
check(badge.startsWith(number) && number === String(held.to_decide), `badge ${badge}, number ${number}`);

// --- Enter opens an entry, Escape leads back to it -----------------------------------------------

await press("ArrowDown");
await press("ArrowDown");
const second = await focused();
await press("Enter");
await page.waitForURL("**/held/**");
await press("Escape");
await page.waitForURL("**on=**");
await standsOn();
check((await focused()).slice(0, 30) === second.slice(0, 30), "one stands on the entry that was open");

// --- a scanner presses no button --------------------------------------------------------------

// A scanner leaves no 50 ms between two keys; a machine with other work may, and then scans again.
await page.addInitScript(() => {
  let last = 0;
  document.addEventListener("keydown", (event) => {
    const isScanned = event.key.length === 1 || event.key === "Enter";
    const gap = isScanned && last ? event.timeStamp - last : 0;
    if (gap > Number(sessionStorage.gap ?? 0)) sessionStorage.gap = String(gap);
    last = isScanned ? event.timeStamp : 0;
  }, true);
});
for (let tries = 1, isFound = false; !isFound && tries <= 20; tries += 1) {
  await page.goto(`${address}/`);
  await press("ArrowDown");
  check(await standsOn(), "the arrow leads to the first entry");
  await page.evaluate(() => { sessionStorage.gap = "0"; });
  await page.keyboard.type("r26031001", { delay: 3 });
  await press("Enter");
  const looked = page.waitForURL("**/specimens?q=r26031001", { timeout: 10_000 });
  isFound = await looked.then(() => true, () => false);
  const gap = Number(await page.evaluate(() => sessionStorage.gap));
  check(isFound || (gap > 45 && tries < 20), `a scan with at most ${gap} ms between two keys is looked up`);
}
check((await work()).to_decide === held.to_decide, "a scan on an entry decides nothing");

// --- map a code: once, and the HIS gets what waited -------------------------------------------

await page.goto(`${address}/`);
await press("ArrowDown");
while (!(await focused()).includes("POT")) await press("ArrowDown");
await press("m");
await page.waitForURL("**/map?**");
check(await stands("#q"), "one types the test's name at once");
await page.keyboard.type("kali");
await press("Enter");
await page.waitForURL("**q=kali**");
check((await page.innerText(".sentence")).includes("6 kết quả"), "the page says how many wait");
await page.check("input[name=test][value=K]");
await page.fill("#reason", "tờ thuốc thử");
await press("Enter");
await page.waitForSelector("#undo");
check((await page.innerText("#undo")).includes("6"), "the bar says how many moved");
check(await standsOn(), "one stands on the next entry");
check(await page.isHidden("#more"), "what one did oneself is no news");
await shot("mapped-vi");
await accessible("mapped vi");
await untilWork(held.to_decide - 6);
for (const [at, tube] of unmapped.entries()) {
  await his.until(`the HIS gets K of ${tube}`, (lines) => lines.find((one) => one.includes(` ${tube} K 4.${at} `)));
}

// --- undo ---------------------------------------------------------------------------------------

await page.goto(`${address}/`);
await press("ArrowDown");
check((await focused()).includes("31.4"), "the critical value is the first entry");
await act("r");
await untilWork(3);
await press("u");
await page.waitForURL("**on=**");
await untilWork(4);
await standsOn();
check((await focused()).includes("31.4"), "one stands on what was undone");
await page.keyboard.press("s");
await page.waitForURL("**want=set-aside**");
check(await stands("input[name=reason]"), "one writes the reason at once");
await shot("set-aside-vi");
await page.keyboard.type("mẫu đông, xin mẫu mới");
await press("Enter");
await page.waitForSelector("#undo");
await untilWork(3);
await standsOn();

// --- link a tube ----------------------------------------------------------------------------------

while (!(await focused()).includes("139")) await press("ArrowDown");
await press("l");
await page.waitForURL("**/link?**");
check(await stands("#q"), "one scans the tube at once");
await page.keyboard.type(lost);
await press("Enter");
await page.waitForURL(`**q=${lost}**`);
check(await standsOn(), "one stands on the tube that was found");
await press("Enter");
await page.waitForURL("**tube=**");
const pair = await page.innerText(".pair");
check(pair.includes("NGUYỄN VĂN AN") && pair.includes(lost), "the tube and its patient stand beside the result");
await page.check("input[name=others]");
await page.fill("#reason", "danh sách giá");
await press("Enter");
await page.waitForSelector("#undo");
await untilWork(1);
await his.until("the HIS gets what was linked", (lines) =>
  lines.find((one) => one.includes(` ${lost} NA 139 `)) && lines.find((one) => one.includes(` ${lost} GLU 5.44 `)));

// --- accept a unit ----------------------------------------------------------------------------------

await page.goto(`${address}/`);
await press("ArrowDown");
await act("a");
await untilWork(0);
check((await page.innerText("main")).includes("Không có việc nào cần người xử lý."), "the list is empty");
await shot("done-vi");

// --- twenty held results, no mouse --------------------------------------------------------------------

for (const [at, tube] of cleared.entries()) await say(tube, [["GLU", `5.${40 + at}`, "mmol/L", "CLOT"]]);
await untilWork(20);
await page.goto(`${address}/`);
await shot("twenty-vi", { fullPage: true });
await press("ArrowDown");
for (let left = 20; left > 0; left -= 1) {
  check(await standsOn(), `with ${left} left, one stands on an entry`);
  await act("r");
}
await untilWork(0);
check((await page.innerText("main")).includes("Không có việc nào cần người xử lý."), "all are cleared");
for (const [at, tube] of cleared.entries()) {
  await his.until(`the HIS gets GLU of ${tube}`, (lines) => lines.find((one) => one.includes(` ${tube} GLU 5.${40 + at} `)));
}
const seconds = await page.innerText("#undo [data-seconds]");
check(Number(seconds) <= 10, `the way back counts down: ${seconds}`);

// --- news of the list, and a phone ------------------------------------------------------------------

await say(unmapped[1], [["GLU", "6.66", "mmol/L", "CLOT"]]);
await page.waitForSelector("#more:not([hidden])");
await page.setViewportSize({ width: 390, height: 844 });
const last = (await untilWork(1)).entries[0].subject.id;
await fits("work", "/");
await fits("held", `/held/${last}`);
await fits("link", screens["link-pair"]);

line.destroy();
const code = await finish();
end();
process.exit(code);
