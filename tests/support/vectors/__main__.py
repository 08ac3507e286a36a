from tests.support.vectors import FOLDER, MAKERS, exports, made, verdicts

FOLDER.mkdir(exist_ok=True)
for name in MAKERS:
    (FOLDER / f"{name}.json").write_text(made(name))
for file, data in exports().items():
    (FOLDER / file).write_bytes(data)
(FOLDER / "exports.json").write_text(verdicts())
