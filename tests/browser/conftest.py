"""A real browser for pages: headless Chromium, driven through ChromeDriver; without one the tests are skipped."""

import json
import shutil
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
)
# Text whose contrast with what lies behind it is below 4.5 (WCAG 2, level AA), as "ratio text" lines.
_FIND_PALE_TEXT = """
const parse = (color) => (color.match(/[\\d.]+/g) || []).map(Number);
const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = (node) => {
  for (; node; node = node.parentElement) {
    const color = parse(getComputedStyle(node).backgroundColor);
    if (color.length === 3 || color[3] > 0.5) return color;
  }
  return [255, 255, 255];
};
const pale = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode.textContent.trim(), node = walker.currentNode.parentElement;
  if (!text || !node.checkVisibility() || node.closest("script, style, .skip")) continue;
  const style = getComputedStyle(node);
  const [a, b] = [luminance(parse(node.closest("svg") ? style.fill : style.color)), luminance(behind(node))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) pale.push(ratio.toFixed(2) + " " + text.slice(0, 40));
}
return pale;
"""


class Browser:
    """A browser window that remembers what the page said and asked for.

    Args:
        driver: Selenium's.
    """

    def __init__(self, driver):
        self.driver = driver

    def open(self, page, *, width=1280, height=900, dark=False):
        """Open a file or address in a window of that size; a narrow one is a phone's."""
        address = page.as_uri() if isinstance(page, Path) else page
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get("about:blank")
        self.read_console()
        self.list_requests()
        self.driver.get(address)

    def run(self, script, *arguments):
        """Return what JavaScript returns."""
        return self.driver.execute_script(script, *arguments)

    def read_console(self):
        """Return what the page complained about since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]

    def list_requests(self):
        """Return the addresses asked for since it was last asked, data addresses left out."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        addresses = [
            event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
        ]
        return [address for address in addresses if not address.startswith(("data:", "blob:"))]

    def find(self, selector):
        """Return the first element of a CSS selector."""
        return self.driver.find_element("css selector", selector)

    def find_all(self, selector):
        """Return all elements of a CSS selector."""
        return self.driver.find_elements("css selector", selector)

    def click(self, selector):
        """Click the first element of a CSS selector, wherever the page is scrolled to."""
        self.run("document.querySelector(arguments[0]).click()", selector)

    def press(self, *keys):
        """Press keys, one after the other, wherever the focus is."""
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def wait(self, condition, *, seconds=120):
        """Wait until a script, or a function of nothing, returns something true, and return it."""
        from selenium.webdriver.support.wait import WebDriverWait

        ask = (lambda _: self.run(condition)) if isinstance(condition, str) else (lambda _: condition())
        return WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(ask)

    def find_pale_text(self):
        """Return text that is hard to read against its background."""
        return self.run(_FIND_PALE_TEXT)

    def is_too_wide(self):
        """Return whether the page has to be scrolled sideways."""
        return self.run("return document.documentElement.scrollWidth > window.innerWidth")


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """One browser for all tests of a process."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs Chromium and ChromeDriver (Debian: apt-get install chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    driver.set_page_load_timeout(120)
    driver.set_script_timeout(120)
    yield Browser(driver)
    driver.quit()
