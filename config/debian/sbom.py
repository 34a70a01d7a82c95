"""What the program is made of, as CycloneDX 1.5: every crate that is linked or that builds it, with
licence and hash, and what else is inside: C sources and scripts of the console.

    python3 config/debian/sbom.py > sbom.cdx.json

Needs cargo and Python alone. The same tree gives the same bytes.
"""

import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = "x86_64-unknown-linux-gnu"
PROGRAM = "labwire"

# Sources of others that no crate of Cargo.lock is: the crate that brings them along, where one does,
# and where their version stands in its files.
BUNDLED_C = [
    (
        "sqlite",
        "libsqlite3-sys",
        "blessing",
        "sqlite3/sqlite3.h",
        r'#define SQLITE_VERSION\s+"([^"]+)"',
    ),
    (
        "mimalloc",
        "libmimalloc-sys",
        "MIT",
        "c_src/mimalloc/{v}/include/mimalloc.h",
        r"#define MI_MALLOC_VERSION\s+(\d+)",
    ),
]
SCRIPTS = [
    ("htmx.org", "2.0.11", "0BSD", "htmx-2.0.11.min.js"),
    ("htmx-ext-sse", "2.2.4", "0BSD", "htmx-ext-sse-2.2.4.min.js"),
    ("uplot", "1.6.32", "MIT", "uplot-1.6.32.min.js"),
]


def metadata() -> dict:
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def checksums() -> dict[tuple[str, str], str]:
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {(p["name"], p["version"]): p["checksum"] for p in lock["package"] if "checksum" in p}


def reachable(packages: dict, nodes: dict, start: str) -> tuple[set, set, dict]:
    """What is linked, what only builds, and the edges. What only tests need is neither."""
    linked, built, edges = set(), set(), {}
    waiting = [(start, False)]
    while waiting:
        this, builds = waiting.pop()
        if this in linked or (builds and this in built):
            continue
        (built if builds else linked).add(this)
        edges.setdefault(this, set())
        for dep in nodes[this]["deps"]:
            kinds = {kind["kind"] for kind in dep["dep_kinds"]} - {"dev"}
            if not kinds:
                continue
            edges[this].add(dep["pkg"])
            targets = packages[dep["pkg"]]["targets"]
            is_macro = any("proc-macro" in target["kind"] for target in targets)
            waiting.append((dep["pkg"], builds or is_macro or None not in kinds))
    return linked, built - linked, edges


def reference(package: dict) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def licences(expression: str | None) -> list:
    # The old way to write "or" in a manifest.
    return [{"expression": expression.replace("/", " OR ")}] if expression else []


def component(package: dict, sums: dict, is_linked: bool) -> dict:
    made = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "scope": "required" if is_linked else "excluded",
    }
    if package["source"] is not None:
        made["purl"] = reference(package)
    if package.get("description"):
        made["description"] = " ".join(package["description"].split())
    if licences(package["license"]):
        made["licenses"] = licences(package["license"])
    if sha := sums.get((package["name"], package["version"])):
        made["hashes"] = [{"alg": "SHA-256", "content": sha}]
    if package.get("repository"):
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def bundled(packages: dict, nodes: dict) -> list:
    """Sources inside crates and beside the console, the latter with the hash of their files."""
    made = []
    by_name = {package["name"]: package for package in packages.values()}
    for name, crate, licence, pattern, version in BUNDLED_C:
        package = by_name.get(crate)
        if package is None:
            continue
        # libmimalloc-sys has two generations and builds the older one by a feature.
        generation = "v2" if "v2" in nodes[package["id"]]["features"] else "v3"
        header = Path(package["manifest_path"]).parent / pattern.replace("{v}", generation)
        found = re.search(version, header.read_text(errors="replace"))
        if found is None:
            sys.exit(f"{header}: no version of {name} is found in it")
        number = found.group(1)
        if number.isdecimal():
            # One digit, two, two.
            number = ".".join(str(int(part)) for part in (number[:-4], number[-4:-2], number[-2:]))
        made.append(
            {
                "type": "library",
                "bom-ref": f"bundled:{name}",
                "name": name,
                "version": number,
                "scope": "required",
                "licenses": [{"license": {"id": licence}}],
                "description": f"C sources inside the crate {crate}.",
            }
        )
    for name, version, licence, file in SCRIPTS:
        content = (ROOT / "src/console/assets" / file).read_bytes()
        purl = f"pkg:npm/{name}@{version}"
        made.append(
            {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "scope": "required",
                "purl": purl,
                "licenses": [{"license": {"id": licence}}],
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}],
                "description": "Script of the console's pages, inside the program.",
            }
        )
    return made


def bom() -> dict:
    described = metadata()
    packages = {package["id"]: package for package in described["packages"]}
    nodes = {node["id"]: node for node in described["resolve"]["nodes"]}
    start = next(i for i, p in packages.items() if p["name"] == PROGRAM and p["source"] is None)
    linked, built, edges = reachable(packages, nodes, start)
    sums = checksums()
    of_crates = [component(packages[i], sums, i in linked) for i in linked | built if i != start]
    components = sorted(of_crates + bundled(packages, nodes), key=lambda one: one["bom-ref"])
    main = component(packages[start], sums, True)
    main["type"] = "application"
    del main["scope"]
    inside = [one["bom-ref"] for one in components if not one["bom-ref"].startswith("pkg:cargo/")]
    dependencies = []
    for this, targets in edges.items():
        refs = {reference(packages[target]) for target in targets}
        dependencies.append({"ref": reference(packages[this]), "dependsOn": sorted(refs)})
        if this == start:
            dependencies[-1]["dependsOn"] = sorted(refs | set(inside))
    dependencies += [{"ref": ref, "dependsOn": []} for ref in inside]
    dependencies.sort(key=lambda one: one["ref"])
    made = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "sbom.py of labwire"}]},
            "component": main,
        },
        "components": components,
        "dependencies": dependencies,
    }
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        when = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
        made["metadata"]["timestamp"] = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    # Of its content, so that the same content has the same number.
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).digest()
    made["serialNumber"] = f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}"
    return made


if __name__ == "__main__":
    json.dump(bom(), sys.stdout, indent=1, ensure_ascii=False)
    print()
