"""Receive the calls of your URL: verify the signature of iMSG, and process each event once."""

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from imsg_client import Client
from imsg_client.callbacks import verify
from imsg_client.errors import CallbackInvalid

secrets: list[str] = []
carried_out: set[str] = set()
is_settled = threading.Event()


class Receiver(BaseHTTPRequestHandler):
    """Your web framework in a nutshell."""

    def do_POST(self) -> None:
        """Answer at once; work that takes long belongs into a queue of yours."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            event = verify(body, dict(self.headers), secrets)
        except CallbackInvalid:
            self.send_response(400)
        else:
            self.send_response(204)
            if event.id not in carried_out:
                carried_out.add(event.id)
                print(event.type, event.data.get("to"), event.data.get("status"))
                if event.type == "request.settled":
                    is_settled.set()
        self.end_headers()


server = HTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
with Client(os.environ["IMSG_URL"], os.environ["IMSG_USERNAME"], os.environ["IMSG_PASSWORD"]) as imsg:
    url = f"http://127.0.0.1:{server.server_port}/"  # yours is one that iMSG's server reaches: https://example.com/imsg
    made = imsg.add_callback(url, ["message.sent", "message.failed", "request.settled"])
    secrets.append(made.secret)  # store it: it is shown this once
    imsg.send_mail("li.wei@example.com", "您好", "您的订单已发货。")
    is_settled.wait(60)
    imsg.remove_callback(made.id)
server.shutdown()
