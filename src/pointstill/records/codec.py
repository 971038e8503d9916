"""What storing logits costs in exactness."""

import numpy as np


def error(logits: np.ndarray, stored: np.ndarray) -> dict[str, float]:
    """Error of a codec on (R, C) logits, in nats and as a fraction.

    Returns:
        `kl_t1` and `kl_t4`, the mean KL(original || stored) at temperatures 1 and 4, and
        `argmax_flips`, the fraction of records whose class changes.
    """
    result = {
        f"kl_t{temperature}": float(np.mean(_kl(logits / temperature, stored / temperature)))
        for temperature in (1, 4)
    }
    result["argmax_flips"] = float(np.mean(logits.argmax(1) != stored.argmax(1)))
    return result


def _kl(logits: np.ndarray, stored: np.ndarray) -> np.ndarray:
    log_p, log_q = _log_softmax(logits), _log_softmax(stored)
    kl: np.ndarray = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
    return kl


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
