"""The training methods: one module per published paper. To add a paper, add its module and one line to METHODS."""

from typing import TYPE_CHECKING

from img2img.lookup import lookup

if TYPE_CHECKING:
    from img2img.methods.method import Method

METHODS = {
    "pix2pix": "img2img.methods.pix2pix:Pix2Pix",
    "bicyclegan": "img2img.methods.bicyclegan:BicycleGAN",
    "pix2pixhd": "img2img.methods.pix2pixhd:Pix2PixHD",
    "pldt": "img2img.methods.pldt:PLDT",
    "cyclegan": "img2img.methods.cyclegan:CycleGAN",
    "dualgan": "img2img.methods.dualgan:DualGAN",
    "discogan": "img2img.methods.discogan:DiscoGAN",
    "distancegan": "img2img.methods.distancegan:DistanceGAN",
    "simgan": "img2img.methods.simgan:SimGAN",
    "cut": "img2img.methods.cut:CUT",
    "fastcut": "img2img.methods.cut:FastCUT",
    "unit": "img2img.methods.unit:UNIT",
    "munit": "img2img.methods.munit:MUNIT",
    "dtn": "img2img.methods.dtn:DTN",
    "stargan": "img2img.methods.stargan:StarGAN",
    "cvae-gan": "img2img.methods.cvae_gan:CVAEGAN",
    "fm-cgan": "img2img.methods.fm_cgan:FMCGAN",
    "ip-gan": "img2img.methods.ip_gan:IPGAN",
    "srgan": "img2img.methods.srgan:SRGAN",
    "esrgan": "img2img.methods.esrgan:ESRGAN",
    "real-esrgan": "img2img.methods.real_esrgan:RealESRGAN",
    "inpaint": "img2img.methods.inpaint:Inpaint",
    "context-encoder": "img2img.methods.context_encoder:ContextEncoder",
}


def find(name: str) -> "type[Method]":
    """Return the method called `name`.

    Raises:
        ConfigError: there is no such method.
    """
    method: type[Method] = lookup("method", METHODS, name)
    return method
