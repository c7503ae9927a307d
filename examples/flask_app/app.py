"""A Flask application: uploaded files are packed into an archive by workers.

    flask run            and            leveret worker app:work

The broker is LEVERET_URL; without it both share one of their own, started in this folder. Files and archives are in ARCHIVES.
Views send with `send`, which returns when the task is on disk: an answer of 202 is a promise that is kept. Threads and forked
servers (gunicorn) need no care: each process opens a connection of its own when it first sends.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID, uuid4
from zipfile import ZIP_DEFLATED, ZipFile

from flask import Flask, Response, abort, request, send_file
from werkzeug.utils import secure_filename

from leveret.tasks import WorkQueue

ARCHIVES = Path(os.environ.get("ARCHIVES", "archives")).resolve()
work = WorkQueue(default_queue="archives")
app = Flask(__name__)


@work.task
def pack(folder: Path) -> None:
    """FOLDER.zip of all that is in it. A repetition after a crash writes it again."""
    unfinished = folder.with_suffix(f".{os.getpid()}")
    with ZipFile(unfinished, "w", ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    unfinished.replace(folder.with_suffix(".zip"))


@app.post("/archives")
def order_archive() -> tuple[dict[str, str], int]:
    uploads = [(secure_filename(upload.filename or ""), upload) for upload in request.files.getlist("files")]
    if not uploads or not all(name for name, _ in uploads):
        abort(400, "expected files, with names")
    archive = str(uuid4())
    folder = ARCHIVES / archive
    folder.mkdir(parents=True)
    for name, upload in uploads:
        upload.save(folder / name)
    pack.send(folder)
    return {"archive": archive}, 202


@app.get("/archives/<uuid:archive>")
def fetch_archive(archive: UUID) -> Response:
    path = ARCHIVES / f"{archive}.zip"
    if not path.exists():
        abort(404, "there is no such archive, or not yet")
    return send_file(path)
