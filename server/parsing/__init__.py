"""SQL analysis where it can harm nobody: in worker processes that are killed when they are late.

`analyst.py` is what the gateway asks, `pool.py` who answers it; `nursery.py` and `worker.py` are
the programs of the other processes, and import nothing of the gateway's.
"""
