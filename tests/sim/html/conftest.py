"""A Chromium for the tests that open pages."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def browser():
    """A Chromium, or the test is skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser):
    """Open a page, without a network; it may complain of nothing."""
    contexts = []

    def call(path, width=1280, **options):
        contexts.append(browser.new_context(
            offline=True, viewport={"width": width, "height": 900}, **options))
        page, problems = contexts[-1].new_page(), []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(request.url))
        page.goto(path.as_uri())
        assert not problems
        return page

    yield call
    for context in contexts:
        context.close()
