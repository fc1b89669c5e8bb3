"""What is in dist/anabranch, as CycloneDX JSON: from the report of Nuitka and the metadata of the packages.

    EDGE/bin/python build/sbom.py REPORT FOLDER VERSION INTO

It is run by the interpreter that was frozen, among the packages that were. No time and no random number go
into it, so that the same content makes the same bytes.
"""

import hashlib
import json
import platform
import sys
import xml.etree.ElementTree as ElementTree
from importlib.metadata import Distribution, distributions
from pathlib import Path


def main() -> int:
    report, folder, version, into = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    inside = {str(module.get("distribution")).lower() for module in ElementTree.parse(report).iter("module")}
    packages = sorted(
        (each for each in distributions() if each.name.lower() in inside), key=lambda each: each.name
    )
    libraries = sorted(path for path in folder.glob("*.so.*") if path.is_file())
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                **{"type": "application", "bom-ref": "anabranch", "name": "anabranch", "version": version},
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [
            _python(),
            *(_package(each) for each in packages if each.name != "anabranch"),
            *(_library(path) for path in libraries),
        ],
    }
    into.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n")
    return 0


def _python() -> dict[str, object]:
    return {
        **{
            "type": "framework",
            "bom-ref": "cpython",
            "name": "CPython",
            "version": platform.python_version(),
        },
        "purl": f"pkg:generic/python@{platform.python_version()}",
        "licenses": [{"license": {"id": "Python-2.0"}}],
    }


def _package(found: Distribution) -> dict[str, object]:
    name = found.name.lower().replace("_", "-")
    purl = f"pkg:pypi/{name}@{found.version}"
    fields = [field for field in ("License-Expression", "License") if field in found.metadata]
    told = [{"license": {"name": found.metadata[field].splitlines()[0]}} for field in fields[:1]]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": found.version,
        "purl": purl,
        "licenses": told,
    }


def _library(path: Path) -> dict[str, object]:
    """A system's library that came along; its digest says which, for it has no name of a version."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    hashes = [{"alg": "SHA-256", "content": digest}]
    return {"type": "library", "bom-ref": path.name, "name": path.name, "hashes": hashes}


if __name__ == "__main__":
    sys.exit(main())
