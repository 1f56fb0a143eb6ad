"""Reads and writes pictures and does arithmetic on their pixels, with numpy and Pillow."""
