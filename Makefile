# make demo   two fresh servers, the stack on one, moved to the other while somebody writes; make demo-down removes them
# make demo-notes  a stranger's compose project, started by hand on one server: adopted, and moved to the other
# make test   everything: set-up, linters, types, tests without and with servers
# make vm     virtual machines: kernel NFS, disks; part of make test once its whole has been seen to pass
# make check  the quick part, four minutes: one container, no servers; of what is exhaustive another sample every day
# make thorough  what that is a sample of, all of it
# make soak   what takes long: every playbook of tests/beside through Ansible and through us; reboots, dying servers
# make bench  round trips, times, backups beside tar and pg_dump, our peers side by side; BENCH="--hosts 1 8" for a part of it
# make clean  what make made in this directory

VENV := .venv
PEERS := .venv-bench
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.stamp
QEMU := qemu-system-x86_64=qemu-system-x86 qemu-img=qemu-utils mke2fs=e2fsprogs mmdebstrap=mmdebstrap
SHELL := /bin/bash -o pipefail
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo demo-notes demo-down test check lint fast thorough lab vm beside soak bench clean

$(STAMP): pyproject.toml constraints.txt scripts/machine.sh
	@scripts/machine.sh ssh=openssh-client ssh-keygen=openssh-client
	@echo "python environment in $(VENV)"
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@$(PYTHON) -m pip install --progress-bar off -c constraints.txt -e '.[dev]' 2>&1 \
		| sed -un -e 's/^Collecting \([^ ]*\).*/  \1/p' -e '/^ERROR/p' -e 's/^Installing collected packages.*/  installing/p'
	@touch $(STAMP)

demo: $(STAMP)
	@$(PYTHON) -m mnemo_ops.lab.demo

demo-notes: $(STAMP)
	@$(PYTHON) -m mnemo_ops.lab.demo_notes

demo-down: $(STAMP)
	@$(VENV)/bin/mnemo-ops lab.down

test: check thorough lab beside

check: lint fast

lint: $(STAMP)
	@echo "== lint"
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

# of tests/real and tests/postgres those in `make check`; the others are in `make thorough`
REAL := tests/real/test_one_postgres.py tests/postgres/test_cluster.py

fast: $(STAMP)
	@scripts/machine.sh sshd=openssh-server zstd=zstd zsh=zsh age=age git=git pg_ctlcluster=postgresql
	@major=$$(ls /usr/lib/postgresql | sort -n | tail -n 1) && at=/usr/share/postgresql/$$major/extension && scripts/machine.sh \
		$$at/pg_cron.control=postgresql-$$major-cron $$at/postgis_topology.control=postgresql-$$major-postgis-3
	@echo "== unit, contract, wire: no servers; agents on this machine, which also wait: one worker more than cores"
	@$(VENV)/bin/pytest -n $$(($$(nproc) + 1)) --dist loadfile tests/unit tests/contract tests/wire
	@echo "== real, postgres: one in a container (the first time makes its image: a minute), backed up and restored;"
	@echo "   and a cluster with one of everything, of this machine's own package"
	@$(VENV)/bin/pytest -n auto --dist loadfile $(REAL)

thorough: $(STAMP)
	@scripts/machine.sh sshd=openssh-server zstd=zstd pg_ctlcluster=postgresql
	@echo "== thorough: every point at which a host may be killed, a thousand mistakes, every change of a cluster"
	@$(VENV)/bin/pytest -n auto --thorough -m thorough tests/unit tests/contract
	@$(VENV)/bin/pytest -n auto --thorough -m thorough tests/postgres
	@echo "== real, postgres: every layout in containers, every question to a server; MNEMO_POSTGRES=DIRECTORY for other programs"
	@$(VENV)/bin/pytest -n auto --dist loadfile -m "not soak" $(REAL:%=--ignore=%) tests/real tests/postgres
	@echo "== bench: over a real sshd; what is timed, alone"
	@$(VENV)/bin/pytest -n auto --dist loadfile tests/bench -m "not thorough"
	@echo "== thorough: round trips over a slow network, alone"
	@$(VENV)/bin/pytest --thorough -m thorough tests/bench

lab: $(STAMP)
	@echo "== lab: real servers (what takes longer: make soak)"
	@$(VENV)/bin/pytest -s tests/lab -m "not soak"

vm: $(STAMP)
	@scripts/machine.sh $(QEMU)
	@echo "== vm: virtual machines, for NFS and disks (what takes longer: make soak)"
	@$(VENV)/bin/pytest -s tests/vm -m "not soak"

# those we are compared with, never in the same environment as the product
$(PEERS)/.stamp: constraints-bench.txt scripts/peers.sh
	@echo "ansible, mitogen and pyinfra in $(PEERS)"
	@scripts/peers.sh $(PEERS)
	@touch $@

beside: $(STAMP) $(PEERS)/.stamp
	@echo "== beside: the same playbooks through Ansible (a sample; all of them: make soak)"
	@$(VENV)/bin/pytest -s tests/beside -m sample

soak: $(STAMP) $(PEERS)/.stamp
	@echo "== soak: every playbook through Ansible and through us, on fresh servers"
	@$(VENV)/bin/pytest -s tests/beside
	@echo "== soak: 2,000 archives and manifests of every wrong shape"
	@MNEMO_FUZZ=2000 $(VENV)/bin/pytest --timeout 1800 tests/contract/test_fuzzed_archives.py tests/contract/test_fuzzed_manifests.py
	@echo "== soak: hosts that lie, 10,000 messages"
	@MNEMO_FUZZ=1 $(VENV)/bin/pytest -s tests/wire/test_hostile.py tests/wire/test_reports.py -k fuzzed
	@echo "== soak: Postgres in images of every layout; whole projects with Compose"
	@$(VENV)/bin/pytest tests/real -m soak
	@echo "== soak: GlusterFS, and every way a move of a volume may end"
	@$(VENV)/bin/pytest -s tests/lab -m soak
	@scripts/machine.sh $(QEMU)
	@echo "== soak: virtual machines that are rebooted, lose their power and their server"
	@$(VENV)/bin/pytest -s tests/vm

bench: $(STAMP) $(PEERS)/.stamp
	@scripts/machine.sh sshd=openssh-server zstd=zstd pg_ctlcluster=postgresql
	@PYTHONPATH=tests $(PYTHON) tests/bench/bench.py $(BENCH)

clean:
	rm -rf $(VENV) $(PEERS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
