#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The status page in a headless Chromium, with a pool under load behind it: the numbers shown are
those of /v1/status, they move, what goes wrong shows, and it fits a phone and the dark.

Usage: test_page.py [--pictures DIR] [case ...]
--pictures: also takes doc/status-page.png and its dark sister, after half a minute of load.
"""
import http.client
import json
import pathlib
import subprocess
import sys
import time

from browser import DESKTOP, Browser
from pool import MIB, Pool, check, end_of, named, run_cases, steady_port, wait_until

TIMES = ("--lease=300ms", "--heartbeat=100ms", "--suspect=1s", "--dead=3s")
PHONE = (360, 740)
STRANGE = "<img src=x onerror=document.title=666>"  # a node may have such a name
LOAD = ("--threads=2", "--size=300K", "--keys=200", "--lossy")
PICTURE_SECONDS = 45

# What stands on the page, by its id, and where it comes from.
NUMBERS = {
    "used": "capacity.used_bytes", "total": "capacity.total_bytes",
    "quarantined": "capacity.quarantined_bytes", "high": "eviction.high_percent",
    "objects": "service.objects", "pending": "service.pending_puts",
    "waiting": "eviction.waiting_puts", "sessions": "service.sessions", "fences": "live.fences",
    "store-used": "service.store_used_bytes", "store-limit": "service.store_limit_bytes"}


class Site:
    """A pool with its page."""

    def __init__(self, **keywords):
        self.port = steady_port()
        self.pool = Pool(nodes=2, split=True, dram=24 * MIB, port=steady_port() + 1, options=[],
                         meta_options=[f"--http=127.0.0.1:{self.port}", *TIMES], **keywords)

    def __enter__(self):
        self.pool.__enter__()
        self.strange = self.pool.add_node(STRANGE)
        self.pool.wait_capacity()
        self.pool.allow(".")
        self.pool.cenote("ns", "create", "tenant", "--quota=2MiB")
        return self

    def __exit__(self, *arguments):
        self.pool.__exit__(*arguments)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def get(self, path, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer, body

    def status(self):
        return json.loads(self.get("/v1/status")[1])

    def load(self):
        return self.pool.spawn("hammer", *LOAD, stdout=subprocess.DEVNULL)


def stop(load):
    load.terminate()
    end_of(load, 30, "the load")


def at(status, path):
    for name in path.split("."):
        status = status[name]
    return status


def look(browser):
    """Makes the page ask now, as it does when it is seen again."""
    browser.run("document.dispatchEvent(new Event('visibilitychange'))")


def files(site):
    """Its files know their versions, and their policy lets nothing else in."""
    for path in ("/", "/page/status.js", "/page/status.css", "/page/icon.svg"):
        answer, body = site.get(path)
        etag = answer.getheader("ETag")
        check(answer.status == 200 and body and etag, f"{path}: {answer.status} {etag}")
        policy = answer.getheader("Content-Security-Policy")
        check("default-src 'none'" in policy and "unsafe" not in policy, policy)
        for known in (etag, f'"other", W/{etag}', "*"):
            answer, body = site.get(path, **{"If-None-Match": known})
            check(answer.status == 304 and not body, f"{path} with {known}: {answer.status}")
        check(site.get(path, **{"If-None-Match": '"other"'})[0].status == 200, "another version")
    page = site.get("/")[1]
    check(b"http:" not in page and b"https:" not in page, "something from outside")
    check(site.get("/page/nothing")[0].status == 404, "a file that isn't there")


def parts(browser):
    """The parts that only compute."""
    found = browser.run_async("""
        const n = await import('/page/numbers.js'), h = await import('/page/history.js');
        const status = (calls, hits, uptime, reign) => ({
          service: {reign}, live: {uptime_ms: uptime, hits, misses: 0, stored_bytes: 0,
            found_bytes: 0, methods: [{name: 'lookup', count: calls, histogram: [[1000, calls]]}]},
          eviction: Object.fromEntries(['space', 'background', 'quota', 'expired', 'group']
            .map(r => [r, {objects: 0, bytes: 0}]))});
        const past = new h.History();
        past.add(status(10, 10, 1000, 1), 0);
        past.add(status(30, 30, 3000, 1), 2000);
        past.add(status(5, 5, 100, 2), 4000);
        past.add(status(9, 9, 2100, 2), 6000);
        const ratio = past.hitRatio();
        past.gap(90000); // longer than the minute that the ratio is of
        return {
          sizes: [0, 512, 1023, 1024, 1536, 1048575, 2 ** 40].map(n.bytes),
          times: [320, 12000, 185000, 187200000].map(n.duration),
          micros: [0.5, 320, 1500, 60200, 1.5e6].map(n.micros),
          shares: [0, 0.00001, 0.5, 0.99999, 1].map(n.share),
          quantiles: [0, 0.5, 0.99, 1].map(q => h.quantile([[1000, 98], [5000, 1], [9000, 1]], q)),
          none: h.quantile([], 0.5),
          rates: past.points.map(p => p.lookups ?? null), ratio, later: past.hitRatio()};""")
    wanted = {"sizes": ["0 B", "512 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 TiB"],
              "times": ["320 ms", "12 s", "3 min 5 s", "2 d 4 h"],
              "micros": ["0.5 µs", "320 µs", "1.50 ms", "60.2 ms", "1.5 s"],
              "shares": ["0 %", "0.1 %", "50.0 %", "99.9 %", "100.0 %"],
              "quantiles": [1, 1, 5, 9], "none": None, "rates": [10, None, 2, None],
              "ratio": 1, "later": None}
    for name, value in wanted.items():
        check(found[name] == value, f"{name}: {found[name]}, not {value}")


def shown(browser):
    """The numbers that stand on the page."""
    return browser.run("""return Object.fromEntries([...document.querySelectorAll('data[id]')]
        .map(e => [e.id, [Number(e.value), e.textContent]]))""")


def differences(site, browser):
    """What doesn't stand there as it is told; it may still be on its way."""
    status, page = site.status(), shown(browser)
    wrong = [f"{i}: {page[i]}, not {at(status, path)}" for i, path in NUMBERS.items()
             if page[i][0] != at(status, path)]
    rows = browser.run("""return Object.fromEntries([...document.querySelectorAll('#methods tr')]
        .map(r => [r.dataset.key, [...r.cells].slice(1).map(c => Number(c.dataset.value))]))""")
    for m in status["live"]["methods"]:
        if m["name"] in ("put_start", "put_commit", "lookup", "remove"):
            told = [m[f] for f in ("count", "errors", "p50_us", "p99_us", "max_us")]
            row = rows.get(m["name"], [0] * 6)
            if [row[0], *row[2:]] != told:
                wrong.append(f"{m['name']}: {row}, not {told}")
    nodes = browser.run("""return Object.fromEntries([...document.querySelectorAll('.node')]
        .map(n => [n.dataset.key, [n.dataset.state, ...[...n.querySelectorAll('.segment')]
            .flatMap(s => [Number(s.dataset.used), Number(s.dataset.quarantined)])]]))""")
    for n in status["nodes"]:
        told = [n["state"], *(s[f] for s in n["segments"]
                              for f in ("used_bytes", "quarantined_bytes"))]
        if nodes.get(n["name"]) != told:
            wrong.append(f"{n['name']}: {nodes.get(n['name'])}, not {told}")
    spaces = browser.run("""return Object.fromEntries([...document.querySelectorAll('#spaces tr')]
        .map(r => [r.dataset.key, [...r.cells].slice(1).map(c => Number(c.dataset.value))]))""")
    for s in status["namespaces"]:
        told = [s[f] for f in
                ("bytes", "quota_bytes", "objects", "pinned_bytes", "evicted_objects")]
        if spaces.get(s["name"]) != told:
            wrong.append(f"{s['name']}: {spaces.get(s['name'])}, not {told}")
    return wrong


def numbers(site, browser):
    """After some load the page shows what /v1/status says, to the byte."""
    site.pool.run("hammer", *LOAD, "--seconds=1")
    site.pool.cenote("--namespace=tenant", "put", "a", "/bin/true")
    wait_until(site.pool.settled, 10, "the pool coming to rest")
    try:
        wait_until(lambda: not differences(site, browser), 10, "the page being right")
    except AssertionError:
        check(False, "\n".join(differences(site, browser)))
    used = site.status()["capacity"]["used_bytes"]
    check(browser.text("#used") == f"{used / MIB:.1f} MiB", browser.text("#used"))
    check("3 of 3 alive" in browser.text("#map-count"), browser.text("#map-count"))


def rates(site, browser):
    """Under load rates move, and the charts get lines."""
    load = site.load()
    try:
        def still():
            return browser.run("""return [...document.querySelectorAll('figure')].flatMap(f => {
                const values = [...f.querySelectorAll('.legend data')];
                return [...f.querySelectorAll('.line')].map((line, i) =>
                    [f.id, i, values[i].value, line.getAttribute('d')]);
                }).filter(([, , value, d]) => !(value > 0 && /L/.test(d ?? '')))""")
        try:
            wait_until(lambda: not still(), 15, "all lines of the charts")
        except AssertionError:
            check(False, f"no line, or nothing: {still()}; the load: {load.poll()}")
        row = browser.text("#methods tr[data-key=put_commit]")
        check(browser.run("""return Number(document.querySelector('#methods [data-key=put_commit]')
            .cells[2].dataset.value)""") > 0, f"no rate: {row}")
        check(browser.text("#slowest"), "no slowest calls")
    finally:
        stop(load)


def commits(browser):
    return browser.run("""return Number(document.querySelector('#methods [data-key=put_commit]')
        .cells[1].dataset.value)""")


def clicks(site, browser):
    """What can be clicked and typed does what it says, while the pool works."""
    load = site.load()
    try:
        click(browser)
    finally:
        stop(load)


def click(browser):
    before = commits(browser)
    wait_until(lambda: commits(browser) > before, 15, "the load being seen")
    browser.find("#methods tr[data-key=put_commit] button")[0].click()
    check(browser.run("return document.getElementById('method').value") == "put_commit", "method")
    summary = browser.find(".node[data-key=node0] summary")[0]
    check(not browser.text(".node[data-key=node0] dl"), "closed")
    summary.send_keys("\n")
    browser.wait_text(".node[data-key=node0] dl", "ago")
    check("tcp" in browser.text(".node[data-key=node0] dl"), "details")
    browser.find("#pause")[0].click()
    browser.wait_text("#link", "Paused")
    uptime, before = browser.text("#facts"), commits(browser)
    chart = browser.find("#chart-operations svg")[0]
    browser.run("arguments[0].focus()", chart)
    chart.send_keys("\ue012")  # the left arrow
    check(" at " in chart.get_attribute("aria-label"), chart.get_attribute("aria-label"))
    check(browser.text("#facts") == uptime and commits(browser) == before, "it goes on, paused")
    browser.find("#pause")[0].click()
    browser.wait_text("#link", "Live")
    wait_until(lambda: browser.text("#facts") != uptime and commits(browser) > before, 10,
               "the page going on")
    check(browser.text(".node[data-key=node0] dl"), "the details stay open")
    hidden = browser.run_async("""
        const asked = () => performance.getEntriesByName(`${location.origin}/v1/status`).length;
        Object.defineProperty(document, 'hidden', {value: true, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
        const before = asked();
        await new Promise(r => setTimeout(r, 2200));
        const after = asked();
        delete document.hidden;
        document.dispatchEvent(new Event('visibilitychange'));
        return after - before;""")
    check(hidden <= 1, f"{hidden} looks while it is hidden")


def texts(browser):
    """What the pool calls its things is text, and everything has a name for those who listen."""
    check(browser.run("return document.querySelectorAll('#nodes img').length") == 0, "markup")
    check(browser.run("return document.title") != "666", "a script was run")
    names = browser.run("""return [...document.querySelectorAll('.node .name')]
        .map(e => e.textContent)""")
    check(STRANGE in names, f"{names}")
    mute = browser.run("""return [...document.querySelectorAll(
            'button, select, a, svg, [role=img], [role=region]')]
        .filter(e => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby')
                       || e.textContent.trim())).map(e => e.outerHTML)""")
    check(not mute, f"without a name: {mute}")
    headings = browser.run("return [...document.querySelectorAll('h1, h2')].map(e => e.tagName)")
    check(headings[0] == "H1" and headings.count("H1") == 1, f"{headings}")


def contrast(browser):
    """The least contrast of all text with what it stands on (WCAG wants 4.5)."""
    return browser.run("""
        const rgb = text => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
          .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
          .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
        const ground = e => { for (; e; e = e.parentElement) {
            const c = rgb(getComputedStyle(e).backgroundColor);
            if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
        let least = [99, ''];
        for (const e of document.querySelectorAll('body *')) {
          const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
          if (!own || !e.getClientRects().length) continue;
          const style = getComputedStyle(e);
          const a = light(rgb(e.namespaceURI.endsWith('svg') ? style.fill : style.color));
          const b = light(ground(e));
          const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
          if (ratio < least[0]) least = [ratio, e.textContent];
        }
        return least;""")


def sizes(browser):
    """On a phone and on a desk, light and dark: nothing sticks out, all can be read."""
    grounds = []
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        for width, height in (PHONE, DESKTOP):
            browser.size(width, height)
            wide = browser.run("return document.documentElement.scrollWidth")
            check(wide <= width, f"{scheme}: {wide} wide in {width}")
        grounds.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
        least, text = contrast(browser)
        check(least >= 4.5, f"{scheme}: contrast {least:.2f} of {text!r}")
    check(grounds[0] != grounds[1], f"dark is as light: {grounds}")
    browser.scheme("light")


def node_dies(site, browser):
    """A node that was killed shows at once, and is missed when it is no member any more."""
    site.pool.nodes[1].kill()
    look(browser)
    browser.wait_text("#warnings", "node1")
    check(browser.run("return document.querySelector('[data-key=node1] .state').textContent") !=
          "alive", "its state")
    browser.wait_text("#warnings", "Node node1 is no member of the pool any more", 15)
    check(browser.run("return document.querySelector('[data-key=node1]').dataset.state") == "gone",
          "gone")
    check("2 of 3 alive" in browser.text("#map-count"), browser.text("#map-count"))
    check("⚠" in browser.run("return document.title"), "the title")


def daemon_dies(site, browser):
    """When nobody answers, the page says so; and goes on when somebody does again."""
    site.pool._drop_watcher()
    site.pool.meta.kill()
    look(browser)
    browser.wait_text("#link", "cannot be reached")
    check("Last heard at" in browser.text("#link"), browser.text("#link"))
    check(browser.run("return document.body.dataset.link") == "gone", "not marked")
    site.pool.meta.start()
    look(browser)
    browser.wait_text("#link", "Live")
    browser.wait_text("#facts", "reign 2")


def nothing(browser):
    """A pool that is empty, without a node, is said to be."""
    with Pool(nodes=0, split=True, meta_options=["--http=127.0.0.1:0"]) as pool:
        browser.open(f"http://{pool.meta.endpoints['http'][0]}/")
        browser.wait_text("#link", "Live")
        for part in ("No node has joined", "Nothing has been evicted", "Nothing to warn of"):
            check(part in browser.text("main"), f"{part!r} isn't said")
        node = pool.add_node("alone", ["--http=127.0.0.1:0"])
        browser.open(f"http://{node.endpoints['http'][0]}/")
        browser.wait_text("#link", "This process has no metadata service")


def take_pictures(folder):
    with Site(node_options=["--zone=rack 7"]) as site, Browser() as browser:
        site.pool.cenote("ns", "create", "llama-70b", "--quota=40MiB")
        site.strange.stop()
        site.pool.add_node("node2")
        load = site.load()
        browser.open(site.url)
        time.sleep(PICTURE_SECONDS)
        for scheme, name in (("light", "status-page"), ("dark", "status-page-dark")):
            browser.scheme(scheme)
            browser.whole_page(pathlib.Path(folder) / f"{name}.png")
        stop(load)


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--pictures"]:
        take_pictures(arguments[1])
        return
    with Browser() as browser:
        with Site() as site:
            browser.open(site.url)
            browser.wait_text("#link", "Live")
            cases = [named(c.__name__, c, *a) for c, a in (
                (files, [site]), (parts, [browser]), (numbers, [site, browser]),
                (rates, [site, browser]), (clicks, [site, browser]), (texts, [browser]),
                (sizes, [browser]), (node_dies, [site, browser]), (daemon_dies, [site, browser]))]
            run_cases(cases, arguments)
            complaints = browser.complaints()
            check(not complaints, f"the browser's console: {complaints}")
        run_cases([named("nothing", nothing, browser)], arguments)


if __name__ == "__main__":
    main()
