"""Physical memory in the files that people have: raw, ELF core, LiME, AVML, kdump, images."""
