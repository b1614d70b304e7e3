# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium of Debian's packages, for tests of the status page."""
import pathlib
import shutil
import tempfile

from pool import skip, wait_until

try:
    from selenium import webdriver
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
except ImportError:
    webdriver = None

PACKAGES = "chromium, chromium-driver and python3-selenium (deploy/packages.sh test)"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-extensions", "--hide-scrollbars", "--lang=en")
DESKTOP = (1280, 1000)


class Browser:
    """One window, with a profile of its own; skips the test where there is no browser."""

    def __init__(self):
        if webdriver is None or not shutil.which("chromedriver") or not shutil.which("chromium"):
            skip(f"no browser here: the status page was not tested; it takes {PACKAGES}")
        self.profile = tempfile.TemporaryDirectory(prefix="cenote-browser-")
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS, f"--user-data-dir={self.profile.name}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")),
                                       options=options)
        self.size(*DESKTOP)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()
        self.profile.cleanup()

    def command(self, name, **arguments):
        """Of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def size(self, width, height):
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height,
                     deviceScaleFactor=1, mobile=width < 500)

    def scheme(self, name):
        """light or dark"""
        self.command("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": name}])

    def open(self, url):
        self.driver.get(url)

    def run(self, script, *arguments):
        """JavaScript; what it returns."""
        return self.driver.execute_script(script, *arguments)

    def run_async(self, script, *arguments):
        """The body of an async function; what it returns."""
        wrapped = f"""const done = arguments[arguments.length - 1];
            (async () => {{ {script} }})()
              .then(v => done({{value: v}}), e => done({{error: `${{e}}`}}))"""
        answer = self.driver.execute_async_script(wrapped, *arguments)
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def find(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector):
        """Of the first; empty: there is none, or it isn't shown."""
        try:
            found = self.find(selector)
            return found[0].text if found else ""
        except StaleElementReferenceException:
            return ""

    def wait_text(self, selector, part, seconds=10):
        try:
            wait_until(lambda: part in self.text(selector), seconds, part)
        except AssertionError as error:
            raise AssertionError(f"{selector}: {self.text(selector)!r}, not {part!r}") from error

    def complaints(self):
        """Errors in its console, those of the network left out."""
        return [e["message"] for e in self.driver.get_log("browser")
                if e["level"] == "SEVERE" and "net::ERR" not in e["message"]
                and "Failed to load resource" not in e["message"]]

    def whole_page(self, path):
        """A picture of all of it, as high as it is."""
        width = self.run("return innerWidth")
        height = self.run("return document.documentElement.scrollHeight")
        before = self.run("return innerHeight")
        self.size(width, height)
        pathlib.Path(path).write_bytes(self.driver.get_screenshot_as_png())
        self.size(width, before)
