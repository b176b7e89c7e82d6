// What the operator sees, on a real world: news comes by itself, the switch works, a restart is survived.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { Browser, World, example, logIn, panel, row, verdict } from "./world.mjs";

const world = new World();
let browser;

before(async () => {
  await world.start();
  browser = await Browser.open();
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
  await panel(page, "Orders funnel").getByRole("button", { name: /attributes/ }).first().waitFor();
  await order.getByRole("link", { name: /^Decision/ }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("No bid: ").waitFor();
  assert.match(await dialog.locator(".hints").textContent(), /region=atlantis/);
  const failed = dialog.locator(".check-failed").first();
  assert.ok(await failed.isVisible());
  assert.match(await failed.textContent(), /needed.*region=atlantis.*there/s);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
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
  await row(page, "Leases", 100).waitFor();
  const paths = await page.locator("a.figure, .panel-tools a.quiet").evaluateAll((links) => [
    ...new Set(links.map((link) => link.getAttribute("href")).filter((path) => path.startsWith("/"))),
  ]);
  assert.ok(paths.length >= 8, paths.join(" "));
  for (const path of paths) await world.get(path);
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
  const asked = page.waitForResponse((response) => response.url().endsWith("/v1/leases"));
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

test("the viewer shows the API's document, and an operation of it", async () => {
  const page = await browser.page(world);
  await page.goto(`${world.url}/docs`);
  const operation = page.locator("#operations-operator-listOrders");
  await operation.getByText("/v1/orders").first().waitFor();
  await operation.locator(".opblock-summary-control").click();
  await operation.getByText("most recently changed first").first().waitFor();
  await page.done();
});
