// What the operator sees, on a real world: news comes by itself, the switch works, a restart is survived.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { Browser, World, example, logIn, panel, row, say, verdict } from "./world.mjs";

const world = new World();
let browser;

before(async () => {
  await world.start();
  browser = await Browser.open();
  // Something to look at for those tests that change nothing.
  await world.bids();
  await world.deploy(90);
});

after(async () => {
  await browser?.close();
  await world.remove();
});

/** The verdict has become `word`. */
const becomes = (page, word) => verdict(page).filter({ hasText: word }).waitFor();

test("without a script the page says the verdict", async () => {
  await world.bids();
  const page = await browser.page(world, { javaScriptEnabled: false });
  await page.goto(world.url);
  assert.match(await verdict(page).textContent(), /^\s*bidding\s*$/i);
  assert.match(await page.locator(".verdict-message").textContent(), /\w{4}/);
  assert.match(await page.locator(".verdict-meta").textContent(), /lessor \d+\.\d+/);
  await page.done();
});

test("who has not logged in sees the verdict and totals, and nothing of tenants", async () => {
  const page = await browser.page(world);
  await page.goto(world.url);
  await becomes(page, /bidding/i);
  await panel(page, "At a glance").getByText("Leases active").waitFor();
  for (const name of ["Orders funnel", "Leases", "Capacity", "Deadlines"]) assert.equal(await panel(page, name).count(), 0);
  assert.equal(await page.getByRole("button", { name: "Pause bidding" }).count(), 0);
  await page.done();
});

test("a wrong token is refused with a reason", async () => {
  const page = await browser.page(world);
  await page.goto(world.url);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByLabel("Operator's token").fill("not-the-operators-token");
  await page.keyboard.press("Enter");
  assert.match(await page.getByRole("dialog").getByRole("alert").textContent(), /\w{4}/);
  await page.done(/401/);
});

test("an order and its lease appear without a reload", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  await page.evaluate(() => void (globalThis.stayed = true));
  const deployed = world.deploy(100);
  await row(page, "Orders funnel", 100).filter({ hasText: "won" }).waitFor();
  const lease = row(page, "Leases", 100);
  await lease.filter({ hasText: "running" }).filter({ hasText: "1 of 1 ready" }).waitFor();
  await deployed;
  assert.match(await lease.textContent(), /ingress\.localhost/);
  const shown = await panel(page, "Orders funnel").locator(".stage-count").last().textContent();
  assert.ok(Number(shown) >= 1, `deployed: ${shown}`);
  assert.equal(await page.evaluate(() => globalThis.stayed), true, "the page was loaded again");
  await page.done();
});

test("the session outlives a reload, and ends with logging out", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  const cookies = await page.context().cookies();
  assert.ok(cookies.length === 1 && cookies[0].httpOnly && cookies[0].sameSite === "Strict", JSON.stringify(cookies));
  assert.ok(!cookies[0].value.includes(world.token));
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 0);
  await page.reload();
  await panel(page, "Leases").waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await panel(page, "At a glance").waitFor();
  assert.equal(await panel(page, "Leases").count(), 0);
  await page.done();
});

test("a decline shows its reason and what would change it", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  await world.deployInVain(200);
  const order = row(page, "Orders funnel", 200);
  await order.filter({ hasText: "declined" }).filter({ hasText: "attributes" }).waitFor();
  // What a reason stopped leads to the decisions, wherever the orders are in the list.
  const reason = panel(page, "Orders funnel").getByRole("button", { name: /attributes/ }).first();
  await reason.click();
  const stopped = page.locator(".dropped");
  await stopped.getByText(/stopped here: attributes mismatch/).waitFor();
  await stopped.getByRole("link", { name: /^Decision on order .*\/200\/1\/1$/ }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("No bid: ").waitFor();
  assert.match(await dialog.locator(".hints").textContent(), /region=atlantis/);
  const failed = dialog.locator(".check-failed").first();
  assert.ok(await failed.isVisible());
  assert.match(await failed.textContent(), /needed.*region=atlantis.*there/s);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await reason.click();
  await stopped.waitFor({ state: "detached" });
  await page.done();
});

test("a tenant's text is text", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  const markup = "<img src=x onerror=document.body.remove()><b id=owned>bold</b>";
  const sdl = readFileSync(example("declined.yaml"), "utf8").replace("region: atlantis", `region: "${markup}"`);
  assert.ok(sdl.includes(markup));
  await world.deployInVain(300, world.write("hostile.yaml", sdl));
  await row(page, "Orders funnel", 300).getByRole("link", { name: /^Decision/ }).click();
  const dialog = page.getByRole("dialog");
  await dialog.locator(".hints").getByText(markup).first().waitFor();
  assert.equal(await page.locator("img, #owned").count(), 0);
  await page.done();
});

test("pause stops bidding, says why, and resume goes on", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  await page.getByRole("button", { name: "Pause bidding" }).click();
  await page.getByLabel("Reason").fill("New disks <in> node-a");
  await page.getByRole("button", { name: "Stop bidding" }).click();
  await becomes(page, /paused/i);
  await page.locator(".verdict-message").getByText("New disks <in> node-a").waitFor();
  const { state, reason } = await world.get("/v1/maintenance");
  assert.deepEqual({ state, reason }, { state: "paused", reason: "New disks <in> node-a" });

  await world.deployInVain(400, example("web.yaml"));
  await row(page, "Orders funnel", 400).filter({ hasText: "declined" }).waitFor();

  await page.getByRole("button", { name: "Resume bidding" }).click();
  await becomes(page, /bidding/i);
  await world.deploy(401);
  await row(page, "Leases", 401).filter({ hasText: "running" }).waitFor();
  await page.done();
});

test("a backfill can be asked for", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  const answered = page.waitForResponse((response) => response.url().endsWith("/backfill"));
  await page.getByRole("button", { name: "Backfill dev" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("From block").fill("2");
  await dialog.getByRole("button", { name: "Backfill", exact: true }).click();
  const answer = await answered;
  assert.equal(answer.status(), 202);
  assert.equal((await answer.json()).from, 2);
  await dialog.waitFor({ state: "detached" });
  await page.done();
});

test("every number leads to the call behind it", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  await row(page, "Leases", 90).waitFor();
  await panel(page, "Deadlines").getByRole("cell").first().waitFor();
  const paths = await page.locator("a.figure, .panel-tools a.quiet").evaluateAll((links) => [
    ...new Set(links.map((link) => link.getAttribute("href")).filter((path) => path.startsWith("/"))),
  ]);
  assert.ok(paths.length >= 8, paths.join(" "));
  for (const path of paths) await world.get(path);
  // A number that stands alone and is no link is one too many. Versions of a policy and steps of a window are no numbers of a call.
  const alone = await page.locator("main .panel-body").evaluateAll((bodies) => {
    const found = [];
    for (const body of bodies) {
      const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
      for (let text = walker.nextNode(); text; text = walker.nextNode()) {
        if (text.parentElement.closest("a, button, time, code, .hints, .block, .under.why")) continue;
        if (/(^|[\s\u2248])\d[\d,.]*($|\s)/.test(text.data)) found.push(text.data.trim());
      }
    }
    return found;
  });
  assert.deepEqual(alone, []);
  await page.done();
});

test("a node that is lost is left out, with the reason", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  const { nodes } = await world.get("/v1/inventory");
  await world.cluster({ do: "lose_node", node: nodes.at(-1).name });
  // Placing an order asks the cluster.
  await world.deploy(600);
  const left = panel(page, "Capacity").locator(".excluded li").filter({ hasText: nodes.at(-1).name });
  await left.filter({ hasText: "NotReady: the node does not answer" }).waitFor();
  await world.cluster({ do: "restore_node", node: nodes.at(-1).name });
  await page.done();
});

test("what an open bid waits for stands among the deadlines", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  // The lease comes a block after the bid: time enough to see the bid open.
  await world.chain("interval", { ms: 4000 });
  const deployed = world.deploy(700);
  const waits = panel(page, "Deadlines").getByRole("row").filter({ hasText: "700" }).filter({ hasText: "bid" });
  await waits.waitFor();
  await world.chain("interval", { ms: 600 });
  await deployed;
  await waits.waitFor({ state: "detached" });
  await page.done();
});

test("without a stream the page asks every few seconds", async () => {
  const page = await browser.page(world);
  await page.route("**/v1/stream", (route) => route.abort());
  await page.clock.install();
  await logIn(page, world);
  await page.locator(".link-polling").waitFor();
  await world.deploy(800);
  const asked = page.waitForResponse((response) => response.url().endsWith("/v1/leases?state=open"));
  await page.clock.runFor(11_000);
  assert.equal((await asked).status(), 200);
  await row(page, "Leases", 800).filter({ hasText: "running" }).waitFor();
  assert.equal(await page.locator(".link-stream").count(), 0);
  await page.done(/ERR_FAILED/);
});

test("the page goes on after the server was started again", async () => {
  const page = await browser.page(world);
  await page.clock.install();
  await logIn(page, world);
  await page.evaluate(() => void (globalThis.stayed = true));
  await page.locator(".link-stream").waitFor();
  await world.stop();
  await becomes(page, /no answer/i);
  await page.clock.fastForward(60_000);
  await panel(page, "Leases").getByText(/^\d+ (s|min).* old/).waitFor();
  await world.start();
  await page.locator(".link-stream").waitFor();
  await page.locator(".panel[data-stale=yes]").first().waitFor({ state: "detached" });
  await becomes(page, /bidding/i);
  await world.deploy(500);
  await row(page, "Leases", 500).filter({ hasText: "running" }).waitFor();
  assert.equal(await page.evaluate(() => globalThis.stayed), true, "the page was loaded again");
  await page.done(/Failed to load resource: net::ERR|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION/);
});

/** Lets time pass on the page, as much as it takes until something shows. */
async function passes(page, locator, step = 3000) {
  const until = Date.now() + 90_000;
  while (!(await locator.isVisible())) {
    assert.ok(Date.now() < until, "it does not come");
    await page.clock.fastForward(step);
    await locator.waitFor({ timeout: 500 }).catch(() => undefined);
  }
}

test("a gateway that hangs is noticed, and the page goes on when it does", async () => {
  const page = await browser.page(world);
  await page.clock.install();
  await logIn(page, world);
  await row(page, "Leases", 90).waitFor();
  await page.locator(".link-stream").waitFor();
  world.hang();
  try {
    await passes(page, page.locator(".link-lost"));
    await becomes(page, /no answer/i);
    await passes(page, page.locator(".panel-leases[data-stale=yes] .stale-age"));
    assert.match(await page.locator(".panel-leases .stale-age").textContent(), /^\d+ .* old: the gateway does not answer/);
    assert.equal(await page.locator(".panel:not([data-stale=yes])").count(), 0);
  } finally {
    world.goOn();
  }
  await passes(page, page.locator(".link-stream"));
  await page.locator(".panel[data-stale=yes]").first().waitFor({ state: "detached" });
  await passes(page, verdict(page).filter({ hasText: /bidding/i }));
  await page.done(/ERR_|Failed to load/);
});

test("a stream that only beats is kept, and one that is silent is opened anew", async () => {
  const page = await browser.page(world);
  await page.clock.install();
  await logIn(page, world);
  await page.locator(".link-stream").waitFor();
  const opened = () => page.evaluate(() => globalThis.streams.length);
  // From here on time passes on the page only when it is told to, however slow the machine is.
  await page.evaluate(() => void (globalThis.quiet = true));
  await say(page, "heartbeat", { missing: [] });
  await page.clock.pauseAt((await page.evaluate(() => Date.now())) + 15_000);
  const before = await opened();
  for (let beats = 0; beats < 4; beats += 1) {
    await say(page, "heartbeat", { missing: [] });
    await page.clock.runFor(15_000);
  }
  await say(page, "heartbeat", { missing: [] });
  await page.clock.runFor(2000);
  assert.equal(await opened(), before);
  assert.equal(await page.locator(".panel[data-stale=yes]").count(), 0);
  await page.clock.runFor(40_000);
  assert.ok((await opened()) > before, "a silent stream is kept");
  await page.done(/ERR_|Failed to load/);
});

test("what the gateway cannot say now is grey while the rest goes on", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  await row(page, "Leases", 90).waitFor();
  await page.locator(".link-stream").waitFor();
  await page.evaluate(() => void (globalThis.quiet = true));
  await say(page, "heartbeat", { missing: ["leases", "deadlines"] });
  for (const name of ["leases", "deadlines"]) await page.locator(`.panel-${name}[data-stale=yes] .stale-age`).waitFor();
  assert.match(await page.locator(".panel-leases .stale-age").textContent(), /old: the gateway cannot say more now/);
  assert.equal(await page.locator(".panel[data-stale=yes]").count(), 2);
  await say(page, "heartbeat", { missing: [] });
  await page.locator(".panel[data-stale=yes]").first().waitFor({ state: "detached" });
  await page.done();
});

test("a list that has more than it shows says so", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  await page.locator(".link-stream").waitFor();
  await row(page, "Leases", 90).waitFor();
  await page.evaluate(() => void (globalThis.quiet = true));
  for (const name of ["leases?state=open", "deadlines"]) {
    const body = await world.get(`/v1/${name}`);
    assert.equal(body.total, body.items.length, name);
    await say(page, name.split("?")[0], { ...body, total: 250 });
    const note = page.locator(`.panel-${name.split("?")[0]} .more-than`);
    await note.waitFor();
    assert.match(await note.textContent(), new RegExp(`^\\s*${body.items.length} of 250\\s+are shown`));
  }
  await page.done();
});

test("a lease that ended leaves the list, and is shown when asked for", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  await world.deploy(900);
  const lease = row(page, "Leases", 900);
  await lease.waitFor();
  const { code } = await world.tenant("close", "900");
  assert.equal(code, 0);
  await lease.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Show ended" }).click();
  await panel(page, "Leases").getByRole("table", { name: "Leases that ended" }).locator(`th a:text-is("900/1/1")`).waitFor();
  await page.done();
});

test("what waits for an operator stands among the streams, and its buttons work", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  await page.locator(".link-stream").waitFor();
  await panel(page, "Event freshness").getByRole("cell").first().waitFor();
  await page.evaluate(() => void (globalThis.quiet = true));
  const body = await world.get("/v1/streams");
  const hash = "AB".repeat(32);
  Object.assign(body.items[0], {
    rewind_waits: { height: 3, hash },
    disagreement: { stream: { height: 7, hash }, node_hash: "CD".repeat(32), since: new Date().toISOString() },
    above_tip: 9_000_000,
  });
  await say(page, "streams", body);
  const troubles = page.locator(".troubles");
  await troubles.getByText("9,000,000").waitFor();
  assert.match(await troubles.textContent(), /wants to go back.*another block than our node.*claims block/s);
  // None waits in truth: the gateway says so, and the page shows it.
  await troubles.getByRole("button", { name: "Let it go back" }).click();
  await troubles.getByRole("alert").waitFor();

  const stuck = { subject: "deployment/akash1abc/77", failures: 5, last_error: "the node says no" };
  await say(page, "stuck", { items: [stuck], total: 8 });
  const list = page.locator(".stuck");
  await list.getByText(/steps came to nothing: the node says no/).waitFor();
  await list.getByRole("button", { name: /^Try / }).click();
  await list.getByRole("alert").waitFor();

  const held = { held_since: new Date().toISOString(), decided: 31 };
  await say(page, "maintenance", { ...(await world.get("/v1/maintenance")), teardowns: held });
  const agree = panel(page, "Leases").getByRole("button", { name: "Agree to the teardowns" });
  await agree.click();
  await agree.waitFor({ state: "detached" });
  await page.done(/40\d/);
});

test("a tab that nobody looks at gives its stream up and takes it again", async () => {
  const page = await browser.page(world);
  await page.clock.install();
  await logIn(page, world);
  await page.locator(".link-stream").waitFor();
  const look = (state) =>
    page.evaluate((state) => {
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
      document.dispatchEvent(new Event("visibilitychange"));
    }, state);
  const open = () => page.evaluate(() => globalThis.streams.filter((one) => one.readyState !== EventSource.CLOSED).length);
  await look("hidden");
  const until = Date.now() + 30_000;
  while ((await open()) > 0) {
    assert.ok(Date.now() < until, "a hidden tab keeps its stream");
    await page.clock.fastForward(6000);
  }
  await look("visible");
  await page.locator(".link-stream").waitFor();
  assert.equal(await open(), 1);
  await page.done(/ERR_|Failed to load/);
});

test("eight tabs of one browser all get their answers", async () => {
  const first = await browser.page(world);
  await logIn(first, world);
  await first.locator(".link-stream").waitFor();
  const tabs = [first];
  for (let number = 2; number <= 8; number += 1) {
    const tab = await first.context().newPage();
    await tab.goto(world.url);
    tabs.push(tab);
  }
  for (const tab of tabs) await row(tab, "Leases", 90).waitFor();
  const streams = await Promise.all(tabs.map((tab) => tab.locator(".link-stream").count()));
  const open = streams.reduce((sum, one) => sum + one, 0);
  assert.ok(open >= 1 && open <= 4, `${open} streams`);
  await first.done();
});

test("the viewer shows the API's document, and an operation of it", async () => {
  const page = await browser.page(world);
  await page.goto(`${world.url}/docs`);
  const operation = page.locator("#operations-operator-listOrders");
  await operation.getByText("/v1/orders").first().waitFor();
  await operation.locator(".opblock-summary-control").click();
  await operation.getByText("most recently changed first").first().waitFor();
  await page.done();
});
