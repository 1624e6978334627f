"""A real browser, driven without a driver: headless Chromium and its DevTools protocol over one websocket."""

import base64
import io
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import matplotlib.image
import websocket

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "msedge"]
APPLICATIONS = ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
                "/Applications/Chromium.app/Contents/MacOS/Chromium",
                "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
                r"C:\Program Files\Google\Chrome\Application\chrome.exe",
                r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe"]
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
         "--remote-debugging-port=0", "--remote-allow-origins=*"]


def find_browser():
    """The path of a Chromium, Chrome or Edge (the variable SE3REF_BROWSER names another), or None."""
    named = os.environ.get("SE3REF_BROWSER")
    if named and not shutil.which(named):
        raise FileNotFoundError(f"SE3REF_BROWSER names no program: {named}")
    return named or next(filter(None, map(shutil.which, NAMES + APPLICATIONS)), None)


class Browser:
    """One page of a new browser with nothing remembered; `requests` and `complaints` fill as it loads."""

    def __init__(self, program):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.process = subprocess.Popen([program, *FLAGS, f"--user-data-dir={self.folder.name}", "about:blank"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.requests, self.complaints, self.loads, self.calls = [], [], 0, 0
        self.session = self.left = self.page = None
        self.socket = websocket.create_connection(self._address(), timeout=60)
        target = self._call("Target.getTargets")["targetInfos"]
        page = next(each["targetId"] for each in target if each["type"] == "page")
        self.session = self._call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def _address(self):
        """Chromium writes its port and path to a file once it listens."""
        file = Path(self.folder.name, "DevToolsActivePort")
        for _ in range(600):
            if file.exists() and len(lines := file.read_text().splitlines()) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"the browser did not start: {self.process.args}")

    def _call(self, method, **params):
        """Send one command and hear events until its answer comes."""
        self.calls += 1
        session = {"sessionId": self.session} if self.session else {}
        self.socket.send(json.dumps({"id": self.calls, "method": method, "params": params} | session))
        while (message := json.loads(self.socket.recv())).get("id") != self.calls:
            self._hear(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return message["result"]

    def _hear(self, event):
        params = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent" if params["documentURL"] != self.left:
                self.requests.append(params["request"]["url"])
            case "Network.loadingFailed" if not params.get("canceled"):
                self.complaints.append(f"not loaded: {params}")
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params["exceptionDetails"])[:600])
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
                self.complaints.append(json.dumps(params["args"])[:600])
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.complaints.append(params["entry"]["text"] + " " + params["entry"].get("url", ""))
            case "Page.loadEventFired":
                self.loads += 1

    def open(self, url, width=1280, height=900, dark=False):
        """Load a page and wait for its load event; what earlier pages asked for and said is forgotten."""
        self.left, self.page = self.page, url                     # the page left may still ask for its icon
        self.requests, self.complaints, loads = [], [], self.loads
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                   mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._call("Page.navigate", url=url)
        while self.loads == loads:
            self._hear(json.loads(self.socket.recv()))

    def run(self, script):
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, script, seconds=60):
        """Wait until a JavaScript expression is true; AssertionError names it if it does not come true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < end, f"still false after {seconds} s: {script}"
            time.sleep(0.1)

    def place(self, selector):
        """Bring the first element that a CSS selector finds into the window: its x, y, width and height there."""
        return self.run(f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
                        " e.scrollIntoView({block: 'center', behavior: 'instant'});"
                        " const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()")

    def drag(self, selector, start, end):
        """Press the mouse on an element, move and let go; start and end are fractions of its width and height."""
        x, y, width, height = self.place(selector)
        kinds = ["mouseMoved", "mousePressed", *["mouseMoved"] * 4, "mouseReleased"]
        for step, kind in zip([0, 0, 1, 2, 3, 4, 4], kinds, strict=True):
            u, v = (a + (b - a) * step / 4 for a, b in zip(start, end, strict=True))
            self._call("Input.dispatchMouseEvent", type=kind, x=x + u * width, y=y + v * height, clickCount=1,
                       button="left", buttons=int(step > 0 or kind == "mousePressed"))
            time.sleep(0.1)                                      # a hand takes several frames

    def picture(self, selector):
        """The pixels (height, width, 3) in 0..1 of an element that fits into the window."""
        x, y, width, height = (round(number) for number in self.place(selector))
        png = base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
        return matplotlib.image.imread(io.BytesIO(png))[y:y + height, x:x + width, :3]

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait(timeout=30)
        self.folder.cleanup()

