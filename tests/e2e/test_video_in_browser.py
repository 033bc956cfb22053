"""A film of `pggan video` plays in Chromium to its end, and its frames are the ones drawn."""

import http.server
import json
import shutil
import subprocess
import threading

import numpy as np
import pytest

from pggan_core.video import write_video

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--autoplay-policy=no-user-gesture-required",
]
# Looks at three moments, then plays to the end and tells the server.
PAGE = b"""<!doctype html><video id=v muted></video><script>
const v = document.getElementById('v'), told = {};
const tell = () => fetch('/told', {method: 'POST', body: JSON.stringify(told)});
v.onerror = () => { told.error = v.error.message; tell(); };
v.onloadeddata = async () => {
  const c = document.createElement('canvas'); c.width = v.videoWidth; c.height = v.videoHeight;
  const x = c.getContext('2d'); told.size = [c.width, c.height]; told.duration = v.duration; told.means = [];
  for (const t of [0.05, 0.55, 1.05]) {
    v.currentTime = t; await new Promise(done => v.onseeked = done); x.drawImage(v, 0, 0);
    const d = x.getImageData(0, 0, c.width, c.height).data, sum = [0, 0, 0];
    for (let i = 0; i < d.length; i += 4) for (let k = 0; k < 3; k++) sum[k] += d[i + k];
    told.means.push(sum.map(s => s / (d.length / 4)));
  }
  v.onended = () => { told.ended = true; tell(); };
  v.currentTime = 0; await new Promise(done => v.onseeked = done); await v.play();
};
// As one piece in memory it can be searched, which this server's answers cannot.
fetch('film.mp4').then(answer => answer.blob()).then(film => { v.src = URL.createObjectURL(film); });
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_film_plays_in_chromium(tmp_path):
    colours = np.array([[200, 40, 40], [40, 160, 60], [60, 60, 140]])
    frames = [np.full((64, 96, 3), colours[number // 10], dtype=np.uint8) for number in range(30)]
    write_video(tmp_path / "film.mp4", iter(frames), fps=20)
    told, finished = {}, threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = (tmp_path / "film.mp4").read_bytes() if self.path == "/film.mp4" else PAGE
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4" if self.path == "/film.mp4" else "text/html")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self):
            told.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            finished.set()

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        browser = subprocess.Popen(
            [CHROMIUM, *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", "--remote-debugging-port=0", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert finished.wait(120)
        finally:
            browser.terminate()
            browser.wait(30)
            server.shutdown()
    assert told.get("ended"), told
    assert told["size"] == [96, 64]
    assert told["duration"] == pytest.approx(1.5, abs=0.01)
    # BT.709 in 8 bits and back; Chromium's quick conversion falls short by up to 5 grey levels where blue is bright.
    np.testing.assert_allclose(told["means"], colours, atol=6)
