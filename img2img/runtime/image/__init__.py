"""Pictures: reading, writing, and the arithmetic on their pixels. numpy and Pillow."""
