import json

import numpy as np

from img2img.training.curves import COLUMNS, HEIGHT, WIDTH, curves


def test_every_figure_has_a_panel_and_warnings_have_none() -> None:
    lines = [json.dumps({"step": step, "loss": 1 / step, "rate": 0.1}) for step in (1, 2, 3)]
    lines += [json.dumps({"step": 2, "warning": "hot"})]
    lines += [json.dumps({"step": step, "validation": {"psnr": step, "ssim": 0.5, "l1": 1.0}}) for step in (2, 3)]
    sheet = curves(lines)
    assert sheet is not None and sheet.size == (COLUMNS * WIDTH, 2 * HEIGHT)
    blue = np.all(np.asarray(sheet) == (40, 100, 180), axis=2)
    assert blue[:HEIGHT, :WIDTH].sum() > 50 and not blue[HEIGHT:].any()


def test_there_is_nothing_to_draw_with_fewer_than_two_points() -> None:
    assert curves([]) is None
    assert curves([json.dumps({"step": 1, "loss": 1.0})]) is None
    assert curves([json.dumps({"step": 1, "loss": 1.0}), json.dumps({"step": 2, "loss": float("nan")})]) is None
