/** Constants of rics_transforms, written by constants.py. */

export const HAT_ARM = 14;
export const HAT_SHARE = 4;
export const HAT_DOUBLINGS = 17;
export const PAPER_SIGMAS = [50, 20, 9];
export const PAPER_CROP = 140;
export const MODULUS = 1048573;
export const MIN_PATCH = 16;
export const ROW = 0xe220a8397b1dcdafn;
export const COLUMN = 0x6e789e6aa1b965f5n;
export const MIX = 0x6c45d188009454fn;
export const CHANNELS = [0x84bb3f97971d80abn, 0x7d29825c75521255n, 0xc3cf17102b7f7f87n];
