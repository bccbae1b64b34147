"""A headless Chromium that looks at the web UI."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1360,860",
)


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Start a browser with an empty profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.accept_insecure_certs = True
    with TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        try:
            yield driver
        finally:
            driver.quit()


def log_in(driver: webdriver.Chrome, url: str, password: str, user: str = "admin") -> None:
    """Fill in the login form."""
    driver.get(url)
    wait = WebDriverWait(driver, 60)
    wait.until(lambda page: page.find_elements(By.NAME, "password"))
    driver.find_element(By.NAME, "username").send_keys(user)
    driver.find_element(By.NAME, "password").send_keys(password)
    driver.find_element(By.CSS_SELECTOR, "input[type=submit], button[type=submit]").click()
    wait.until(lambda page: not page.find_elements(By.NAME, "password"))


def shows(driver: webdriver.Chrome, text: str) -> bool:
    """Wait until the page shows a text."""
    WebDriverWait(driver, 60, ignored_exceptions=[StaleElementReferenceException]).until(
        lambda page: text in page.find_element(By.TAG_NAME, "body").text
    )
    return True
