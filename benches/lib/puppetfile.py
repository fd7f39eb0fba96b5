"""Times crane, r10k and g10k on the same Puppetfiles: puppetfile.py CRANE ROUNDS URL DELAYED_URL.

Three things are timed, each by the median of the rounds: everything anew (cold), the cache there and
the modules gone (warm), and nothing to do (none). The tools take turns, so that what else the machine
does hits all alike. Prints a Markdown table and exits 1 when a bound is broken.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import floor

# The bounds of issue 4: crane's time as a part of the faster of the others, or in seconds.
COLD, WARM, NONE, MEMORY = 0.30, 0.10, 0.020, 100


def run(command, where, home):
    """Seconds that a command takes, and its peak memory in MB."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    begin = time.perf_counter()
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(
            command, cwd=where, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    if status != 0:
        sys.exit(f"{command} failed:\n{(home / 'log').read_text()}")
    return seconds, usage.ru_maxrss / 1024


def commands(crane, home):
    (home / "r10k.yaml").write_text(f"cachedir: {home}/r10k-cache\n")
    return {
        "crane": [crane, "puppetfile", "install", f"--cachedir={home}/crane-cache", "--compat=r10k3"],
        "r10k": ["r10k", "puppetfile", "install", f"--config={home}/r10k.yaml"],
        "g10k": ["g10k", "-puppetfile", "-quiet", f"-cachedir={home}/g10k-cache"],
    }


def measure(crane, rounds, puppetfile, url, count):
    """Medians by what is timed and tool, and crane's peak memory."""
    times, memory = {}, 0
    for _ in range(rounds):
        seconds, size = floor.wire(url, count)
        times.setdefault("wire", []).append(seconds)
        times.setdefault("bytes", []).append(size)
        for tool in ("crane", "r10k", "g10k"):
            with tempfile.TemporaryDirectory() as directory:
                home, where = Path(directory), Path(directory) / "work"
                where.mkdir()
                (where / "Puppetfile").write_text(puppetfile)
                command = commands(crane, home)[tool]
                for what in ("cold", "warm", "none"):
                    if what == "warm":
                        shutil.rmtree(where / "modules")
                    seconds, peak = run(command, where, home)
                    times.setdefault((what, tool), []).append(seconds)
                    if tool == "crane":
                        memory = max(memory, peak)
                if tool == "crane":
                    copied = floor.copy(where / "modules", where / "copy")
                    times.setdefault("copy", []).append(copied)
    return {key: statistics.median(all) for key, all in times.items()}, memory


def main():
    crane, rounds, *urls = sys.argv[1:]
    broken = False
    print("| | crane | r10k | g10k | ratio | bound |")
    print("|---|---|---|---|---|---|")
    for url, delay in zip(urls, ("", " + 30 ms")):
        for count in (7, 40):
            lines = [
                f"mod 'm{n:02}', :git => '{url}/m{n:02}.git', :tag => 'bench'\n" for n in range(count)
            ]
            medians, memory = measure(crane, int(rounds), "".join(lines), url, count)
            for what, bound in (("cold", COLD), ("warm", WARM), ("none", NONE)):
                own, r10k, g10k = (medians[what, tool] for tool in ("crane", "r10k", "g10k"))
                ratio = own / min(r10k, g10k)
                holds = own <= bound if what == "none" else ratio <= bound
                broken |= not holds
                shown = f"{bound * 1000:.0f} ms" if what == "none" else f"{bound:.2f}"
                print(
                    f"| {count} modules{delay}, {what} | {own * 1000:.0f} ms | {r10k * 1000:.0f} ms "
                    f"| {g10k * 1000:.0f} ms | {ratio:.3f} | {shown}{'' if holds else ' BROKEN'} |",
                    flush=True,
                )
            wire, size, copy = (medians[key] for key in ("wire", "bytes", "copy"))
            print(
                f"| {count} modules{delay}, the requests alone | {wire * 1000:.0f} ms | | "
                f"| | {size / 1e6:.1f} MB |\n"
                f"| {count} modules{delay}, `cp -r` of the modules | {copy * 1000:.0f} ms | | | | |"
            )
            holds = memory <= MEMORY
            broken |= not holds
            mark = "" if holds else " BROKEN"
            print(f"| {count} modules{delay}, peak memory | {memory:.0f} MB | | | | {MEMORY} MB{mark} |")
    sys.exit(broken)


main()
