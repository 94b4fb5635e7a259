"""SLUB, the allocator of kernel objects. [mm/slub.c, mm/slab_common.c]"""
