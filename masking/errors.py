"""What masking raises when it can't do its work at all."""


class MaskingFailed(Exception):
    """Cells can't be masked now, so they can't be delivered; the text holds nothing of them."""
