"""play.yml in pyinfra's words."""

from io import StringIO

from pyinfra import host
from pyinfra.facts.files import File
from pyinfra.operations import apt, files, server, systemd

UNIT = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
OWNER = {"user": "bench", "group": "bench"}

apt.packages(name="package", packages=["tree"])
server.group(name="group", group="bench", gid=3999)
server.user(name="user", user="bench", uid=3999, group="bench", shell="/bin/sh", home="/srv/bench")  # noqa: S604
files.directory(name="directory", path="/srv/bench", mode="755", **OWNER)
for i in range(1, 10):
    files.directory(name=f"directory {i}", path=f"/srv/bench/{i}", mode="750", **OWNER)
for i in range(1, 10):
    files.put(name=f"copy {i}", src=StringIO(f"text {i}\n"), dest=f"/srv/bench/{i}/copy", mode="640", **OWNER)
files.put(name="copy", src=StringIO("text 10\n"), dest="/srv/bench/copy", mode="640", **OWNER)
for i in range(1, 6):
    files.template(name=f"template {i}", src="templates/motd.j2", dest=f"/srv/bench/{i}/motd", mode="644")
for i in range(1, 6):
    files.line(name=f"line {i}", path=f"/srv/bench/{i}/lines", line=f"added {i}")
for i in range(1, 4):
    if host.get_fact(File, path=f"/srv/bench/{i}/done") is None:
        server.shell(name=f"command {i}", commands=[f"touch /srv/bench/{i}/done"])
files.link(name="link", path="/srv/bench/link", target="/srv/bench/1/copy")
files.put(name="unit", src=StringIO(UNIT), dest="/etc/systemd/system/bench.service", mode="644")
systemd.service(name="service", service="bench.service", running=True, enabled=True)
systemd.service(name="another service", service="ssh.service", running=True, enabled=True)
