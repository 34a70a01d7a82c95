"""Judges the list of what the program is made of by the schema of CycloneDX 1.5, and compares it with
Cargo.lock: nothing in it that is not locked, no hash that is another's.

    python3 tests/supply/sbom.py SBOM
"""

import json
import sys
import tomllib
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[2]


def mistakes(text: str, lock: dict) -> list[str]:
    found = []
    if error := JsonStrictValidator(SchemaVersion.V1_5).validate_str(text):
        return [f"the schema: {error}"]
    bom = json.loads(text)
    locked = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    crates = [one for one in bom["components"] if one["bom-ref"].startswith("pkg:cargo/")]
    for one in crates:
        key = (one["name"], one["version"])
        hashes = [each["content"] for each in one.get("hashes", [])]
        if key not in locked:
            found.append(f"{key} is not in Cargo.lock")
        elif hashes != ([locked[key]] if locked[key] else []):
            found.append(f"{key} has another hash")
    found += [f"{one['name']} has no licence" for one in bom["components"] if not one.get("licenses")]
    refs = {one["bom-ref"] for one in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    told = {one["ref"] for one in bom["dependencies"]}
    found += [f"{ref} stands on one side only" for ref in sorted(refs ^ told)]
    return found


def main() -> None:
    text = Path(sys.argv[1]).read_text()
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    found = mistakes(text, lock)
    # A check that finds nothing in a wrong list would be none.
    wrong = json.loads(text)
    wrong["components"][0]["type"] = "spoon"
    assert mistakes(json.dumps(wrong), lock), "a wrong type passes"
    hashed = next(one for one in json.loads(text)["components"] if one.get("hashes"))
    other = text.replace(hashed["hashes"][0]["content"], "0" * 64)
    assert mistakes(other, lock), "a wrong hash passes"
    for one in found:
        print(one)
    count = len(json.loads(text)["components"])
    print(f"the list holds {count} components, {len(found)} of them wrong")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
