// The console of a bridge of its own, which this file starts, stops and kills: its first administrator,
// a new result on an open page, a device that is unplugged, and a bridge that is killed and begins again.
//
//     node life.mjs FOLDER LABWIRE LABWIRE-SIM
//
// LABWIRE and LABWIRE-SIM are the built programs, FOLDER is written to. How long things took is told and
// decides nothing, but for the unplugged device, whose card promises to turn within 30 s.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { open } from "./browser.mjs";

const [folder, labwire, sim] = process.argv.slice(2);
const PATIENCE = 60_000;
const UNPLUGGED_MS = 30_000;

// Ports that are free now; the bridge has to find the same ones again after its restart.
async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
const [web, analyzer] = [await freePort(), await freePort()];
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "catalogue.toml"), ["GLU", "UREA", "CREA"]
  .map((id) => `[[test]]\nid = "${id}"\nunit = "mmol/L"\n`).join("\n"));
writeFileSync(join(folder, "lab.toml"), `[lab]
catalogue = "catalogue.toml"
timezone = "Asia/Ho_Chi_Minh"

[console]
listen = "127.0.0.1:${web}"

[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "mllp-listen://127.0.0.1:0"

[[instrument]]
id = "au-1"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:${analyzer}"
tests = { GLU = "GLU", UREA = "UREA", CREA = "CREA" }
`);

const children = new Set();
function start(program, args) {
  const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  child.said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (bytes) => { child.said += bytes; });
  }
  child.ended = new Promise((resolve) => child.on("exit", resolve));
  children.add(child);
  child.ended.then(() => children.delete(child));
  return child;
}
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));

async function until(what, look) {
  const last = Date.now() + PATIENCE;
  while (Date.now() < last) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited in vain: ${what}`);
}
const measure = (...args) => start(sim, ["generic-astm", "--connect", `127.0.0.1:${analyzer}`, "--tests", "GLU", ...args]);

let bridge = start(labwire, ["run"]);
const link = await until("the link of the first start", () => /http:\S+\/setup\?token=\w+/.exec(bridge.said)?.[0]);
const address = `http://127.0.0.1:${web}`;

const { page, check, shot, accessible, finish } = await open();
page.setDefaultTimeout(PATIENCE);
// A bridge that is killed refuses connections, and the browser complains of it.
page.removeAllListeners("console");

// The first administrator, by the link that is good once.
await page.goto(link);
await page.fill("#name", "Nguyễn Thị Lan");
await page.fill("#login", "lan");
await page.fill("#password", "mot cau that dai");
await page.click("button[type=submit]");
await page.waitForSelector(".menu");
const again = await page.goto(link);
check(again.status() === 404, `the link of the first start works twice: ${again.status()}`);

// A result that comes while a page is open is told on it.
await page.goto(`${address}/`);
const paint = await page.evaluate(() => new Promise((resolve) => {
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name === "first-contentful-paint") resolve(entry.startTime);
  }).observe({ type: "paint", buffered: true });
}));
check(await page.locator(".menu .badge").count() === 0, "nothing needs anybody yet");
const sent = measure("--specimen", "26112800017");
check(await sent.ended === 0, `the analyzer was not acknowledged: ${sent.said}`);
const acknowledged = Date.now();
await page.waitForSelector(".menu .badge");
const seen = Date.now() - acknowledged;

// A device that is unplugged turns its card by itself.
await page.goto(`${address}/devices`);
const card = page.locator("li.card", { has: page.locator("#line-au-1") });
const state = async () => (await card.locator(".state").first().innerText()).replace(/\s+/g, " ");
const before = await until("the card is there", state);
const plugged = measure("--specimen", "26112800025", "--stay");
const working = await until("the card tells of the device", async () => {
  const now = await state();
  return now === before ? null : now;
});
plugged.kill("SIGKILL");
const pulled = Date.now();
const turned = await until("the card turns", async () => {
  const now = await state();
  return now === working ? null : now;
});
const turning = Date.now() - pulled;
await shot("device-unplugged");
check(turning < UNPLUGGED_MS, `the card turned after ${turning} ms`);

// The bridge is killed: the page says so, and finds it again by itself.
check(!(await page.isVisible("#lost")), "no banner while the bridge is there");
bridge.kill("SIGKILL");
await bridge.ended;
await page.waitForSelector("#lost", { state: "visible" });
await shot("bridge-lost");
bridge = start(labwire, ["run"]);
await page.waitForSelector("#lost", { state: "hidden" });
await page.waitForSelector("#back", { state: "visible" });
check(page.url() === `${address}/devices`, `the page went elsewhere: ${page.url()}`);
// And its news come again.
const anew = measure("--specimen", "26112800033", "--stay");
await until("the card tells of the device again", async () => (await state()) === working);
anew.kill("SIGKILL");

// A line that lost bytes says in words what that was and what to do.
const noisy = measure("--specimens", "20", "--faults", "flip=60", "--stay");
await page.goto(`${address}/devices/au-1`);
await until("the noise is noted", async () => {
  await page.reload();
  return page.locator(".noted li .hint").count();
});
noisy.kill("SIGKILL");
const hints = await page.locator(".noted li .hint").allInnerTexts();
check(hints.every((hint) => hint.trim().length > 5), `a note does not say what to do: ${hints}`);
await shot("device-noted");
await accessible("notes of a line");

bridge.kill("SIGTERM");
check(await bridge.ended === 0, `the bridge did not end in order: ${bridge.said.slice(-2000)}`);
console.log(`first paint ${Math.round(paint)} ms; a new result seen ${seen} ms after its acknowledgement; `
  + `"${working}" turned to "${turned}" ${turning} ms after it was unplugged`);
process.exit(await finish());
