"""Networks that halve with a blur."""

import cv2
import numpy as np
import torch

from img2img import networks
from img2img.networks.blur_pool import BlurPool


def test_it_equals_a_blur_and_every_second_pixel() -> None:
    picture = torch.rand(1, 2, 7, 6)
    line = np.array([0.25, 0.5, 0.25], np.float32)
    blurred = [cv2.sepFilter2D(one, -1, line, line, borderType=cv2.BORDER_REFLECT_101) for one in picture[0].numpy()]
    result = BlurPool(2)(picture)
    assert result.shape == (1, 2, 4, 3)
    assert np.allclose(result[0], np.stack(blurred)[:, ::2, ::2], atol=1e-6)


def test_it_has_no_weights() -> None:
    assert not BlurPool(3).state_dict()


def test_networks_with_blur_keep_their_sizes() -> None:
    torch.manual_seed(0)
    generator = networks.build("resnet", features=4, blocks=1, blur=True)
    assert generator(torch.rand(1, 3, 8, 12)).shape == (1, 3, 8, 12)
    plain, blurred = (networks.build("patchgan", features=4, norm="none", blur=blur) for blur in (False, True))
    for side in (24, 31, 70):
        picture = torch.rand(1, 3, side, side + 1)
        assert blurred(picture).shape == plain(picture).shape
