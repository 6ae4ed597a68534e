/* Made by `python -m awm_jax.int8.native.image` from the Python definitions. */
#ifndef AWM_LAYOUT_H
#define AWM_LAYOUT_H

#define AWM_MAGIC "AWMIMG1"
#define AWM_POLICY_MAGIC "AWMPOL1"
#define AWM_VERSION (1)
#define AWM_ALIGN (64)
#define AWM_MAX_LAYERS (16)
#define AWM_MAX_INTS (8)
#define AWM_CATEGORICAL (6)
#define AWM_ANALOG (5)
#define AWM_BUTTONS (8)
#define AWM_PAD_FIELDS (8)
#define AWM_EXPAND (2)
#define AWM_CONV_WIDTH (4)
#define AWM_WIDE_MAX (16319)
#define AWM_B_MAX (2047)
#define AWM_DRIVE_ROOM (16)
#define AWM_CHANGE_MAX (67108864)
#define AWM_UNIT (65536)
#define AWM_STICK_MAX (80)
#define AWM_STICK_THRESHOLD (-32)
#define AWM_TRIGGER_THRESHOLD (76)
#define AWM_LEVELS (3)
#define AWM_GEOMETRY_PER_PLAYER (9)
#define AWM_HEIGHT (262144)
#define AWM_EDGE (524288)
#define AWM_RIVAL (2097152)
#define AWM_DIGEST_LANES (4)
#define AWM_LEAST_HIT (32768)
#define AWM_WEAR (2359)
#define AWM_BEYOND_BOTTOM (0)
#define AWM_BEYOND_LEFT (1)
#define AWM_BEYOND_RIGHT (2)
#define AWM_GONE (5)
#define AWM_UP (4)
#define AWM_FAR_UP (6)
#define AWM_REBIRTH (12)
#define AWM_REBIRTH_FRAMES (60)
#define AWM_WAITING (13)
#define AWM_ON_GROUND (2)
#define AWM_CHARACTER (2)
#define AWM_LAST_ATTACK (6)
#define AWM_GROUND_SPEED (2)
#define AWM_KNOCKBACK (3)
#define AWM_HITLAG (0)
#define AWM_HITSTUN (3)
#define AWM_ACTIONS (400)
#define AWM_OWN (341)
#define AWM_FIGHTERS (33)
#define AWM_ENDING (2347)
#define AWM_SPEEDS (5)
#define AWM_SHIELD (3932160)
#define AWM_DYING (7)
#define AWM_DEATHS (5)
#define AWM_BUTTON_BITS {{6, 0}, {6, 1}, {6, 2}, {6, 3}, {6, 4}, {7, 2}, {7, 3}, {7, 0}}
#define AWM_DYING_FRAMES {{0, 60, 12}, {1, 60, 12}, {2, 60, 12}, {4, 150, 5}, {5, 26, 12}, {6, 51, 7}, {7, 78, 12}}
#define AWM_DEATH_FRAMES {{0, 0}, {1, 0}, {2, 0}, {4, 131}, {7, 43}}
#define AWM_LONGEST {[15] = {42, 29, 16}, [16] = {121, 29, 17}, [17] = {113, 29, 14}, [18] = {44, 29, 14}, [19] = {40, 29, 21}, [20] = {98, 29, 18}, [21] = {92, 29, 24}, [23] = {30, 29, 14}, [24] = {7, 29, 43}, [25] = {55, 27, 14}, [26] = {60, 29, 14}, [27] = {70, 32, 14}, [28] = {65, 32, 14}, [39] = {7, 29, 40}, [40] = {98, 29, 24}, [41] = {10, 29, 14}, [42] = {30, 29, 24}, [43] = {40, 29, 14}, [44] = {43, 29, 14}, [45] = {37, 29, 14}, [46] = {36, 29, 14}, [47] = {6, 29, 48}, [48] = {122, 29, 49}, [49] = {9, 29, 14}, [50] = {75, 29, 14}, [51] = {37, 29, 14}, [53] = {45, 29, 14}, [55] = {35, 29, 14}, [56] = {118, 29, 14}, [57] = {121, 29, 41}, [58] = {73, 29, 14}, [60] = {129, 29, 14}, [62] = {72, 29, 14}, [63] = {111, 29, 14}, [64] = {143, 29, 14}, [65] = {63, 29, 14}, [66] = {73, 29, 14}, [67] = {67, 29, 14}, [68] = {69, 29, 14}, [69] = {89, 29, 14}, [70] = {25, 29, 14}, [71] = {25, 29, 14}, [72] = {30, 29, 14}, [73] = {30, 29, 14}, [74] = {50, 29, 14}, [75] = {20, 29, 14}, [76] = {32, 29, 178}, [77] = {42, 29, 178}, [78] = {43, 29, 14}, [79] = {56, 29, 14}, [80] = {64, 29, 178}, [81] = {15, 78, 14}, [82] = {30, 29, 14}, [83] = {38, 29, 178}, [84] = {51, 29, 14}, [85] = {59, 29, 14}, [86] = {120, 29, 178}, [87] = {114, 38, 14}, [89] = {128, 38, 14}, [91] = {131, 38, 14}, [178] = {8, 29, 179}, [179] = {104, 29, 24}, [180] = {19, 29, 14}, [181] = {51, 29, 179}, [182] = {8, 29, 179}, [183] = {26, 193, 184}, [186] = {30, 29, 178}, [187] = {57, 29, 14}, [188] = {40, 29, 14}, [189] = {35, 29, 14}, [191] = {26, 88, 192}, [192] = {88, 29, 194}, [193] = {55, 29, 192}, [194] = {30, 29, 178}, [195] = {57, 29, 14}, [196] = {40, 29, 14}, [197] = {35, 29, 14}, [199] = {26, 29, 14}, [200] = {40, 29, 178}, [201] = {40, 29, 14}, [203] = {51, 350, 14}, [212] = {86, 29, 14}, [213] = {5, 29, 216}, [214] = {95, 29, 14}, [215] = {4, 29, 216}, [216] = {103, 29, 221}, [217] = {79, 29, 216}, [219] = {72, 29, 14}, [220] = {69, 29, 14}, [221] = {79, 29, 14}, [222] = {89, 29, 14}, [223] = {2, 224, 14}, [224] = {63, 225, 14}, [225] = {23, 224, 14}, [226] = {5, 29, 227}, [227] = {103, 29, 241}, [228] = {29, 29, 227}, [233] = {44, 29, 14}, [234] = {44, 29, 14}, [235] = {32, 29, 14}, [236] = {49, 35, 14}, [237] = {9, 29, 238}, [238] = {16, 29, 14}, [239] = {57, 86, 14}, [240] = {45, 88, 14}, [241] = {57, 90, 14}, [242] = {58, 90, 199}, [244] = {30, 27, 14}, [245] = {13, 29, 246}, [246] = {121, 29, 18}, [247] = {45, 38, 14}, [251] = {30, 38, 14}, [252] = {7, 253, 14}, [254] = {59, 29, 14}, [255] = {34, 29, 14}, [256] = {74, 29, 14}, [257] = {59, 89, 14}, [258] = {79, 29, 14}, [259] = {50, 29, 14}, [260] = {21, 261, 14}, [261] = {39, 29, 14}, [262] = {15, 263, 14}, [263] = {43, 29, 14}, [264] = {115, 29, 14}, [341] = {102, 342, 14}, [342] = {128, 29, 343}, [343] = {42, 364, 14}, [344] = {119, 345, 345}, [345] = {65, 346, 14}, [346] = {55, 29, 14}, [347] = {110, 29, 14}, [348] = {97, 29, 349}, [349] = {79, 29, 178}, [350] = {79, 351, 14}, [351] = {79, 352, 14}, [352] = {55, 35, 14}, [353] = {73, 35, 14}, [354] = {64, 35, 356}, [355] = {49, 35, 357}, [356] = {105, 358, 14}, [357] = {84, 35, 14}, [358] = {79, 359, 14}, [359] = {143, 361, 360}, [360] = {63, 35, 361}, [361] = {67, 29, 24}, [362] = {53, 29, 363}, [363] = {83, 365, 14}, [364] = {54, 29, 361}, [365] = {70, 366, 14}, [366] = {40, 368, 14}, [368] = {45, 35, 14}, [370] = {73, 35, 14}, [459] = {6, 29, 342}, [460] = {39, 29, 343}, [461] = {24, 29, 14}, [462] = {4, 345, 14}, [463] = {54, 346, 14}, [464] = {22, 29, 14}, [468] = {19, 351, 14}, [469] = {4, 352, 14}, [470] = {40, 35, 14}, [472] = {52, 356, 14}, [474] = {40, 358, 14}, [475] = {20, 29, 14}, [476] = {20, 35, 14}, [478] = {6, 29, 361}, [479] = {18, 29, 363}, [481] = {18, 29, 14}, [482] = {3, 29, 361}, [483] = {6, 366, 14}, [484] = {37, 368, 14}, [486] = {18, 29, 14}, [487] = {3, 27, 14}, [524] = {110, 29, 14}, [525] = {97, 89, 14}, [526] = {79, 29, 178}, [527] = {29, 29, 14}, [528] = {79, 35, 14}, [531] = {64, 35, 14}, [536] = {34, 361, 14}, [538] = {29, 29, 14}, [813] = {7, 29, 342}, [814] = {128, 29, 343}, [815] = {8, 29, 178}, [816] = {40, 29, 14}, [817] = {7, 346, 14}, [818] = {40, 348, 14}, [819] = {8, 29, 14}, [820] = {40, 29, 14}, [830] = {35, 359, 14}, [831] = {20, 360, 14}, [832] = {39, 35, 14}, [872] = {78, 29, 178}, [931] = {102, 345, 14}, [932] = {5, 32, 14}, [934] = {55, 341, 14}, [935] = {61, 29, 14}, [936] = {44, 341, 14}, [942] = {29, 29, 14}, [1178] = {49, 29, 14}, [1182] = {53, 29, 14}, [1285] = {50, 342, 14}, [1286] = {50, 29, 14}, [1308] = {51, 29, 14}, [1405] = {17, 29, 347}, [1413] = {40, 352, 14}, [1414] = {30, 29, 14}, [1419] = {83, 29, 14}, [1420] = {79, 29, 14}, [1464] = {40, 29, 14}, [1466] = {11, 346, 14}, [1467] = {37, 347, 14}, [1468] = {37, 29, 14}, [1470] = {32, 29, 15}, [1479] = {58, 29, 14}, [1489] = {45, 35, 14}, [1585] = {25, 29, 14}, [1586] = {45, 348, 14}, [1642] = {43, 29, 14}, [1698] = {6, 29, 342}, [1699] = {24, 29, 343}, [1700] = {27, 29, 178}, [1701] = {4, 345, 14}, [1702] = {59, 346, 14}, [1703] = {22, 29, 14}, [1704] = {15, 29, 348}, [1705] = {4, 29, 349}, [1706] = {40, 29, 14}, [1707] = {15, 351, 14}, [1708] = {4, 352, 14}, [1709] = {40, 35, 14}, [1711] = {42, 356, 14}, [1713] = {29, 358, 14}, [1714] = {20, 29, 14}, [1715] = {20, 35, 14}, [1717] = {13, 29, 361}, [1718] = {48, 29, 24}, [1720] = {18, 29, 14}, [1721] = {6, 29, 361}, [1722] = {13, 366, 14}, [1723] = {40, 368, 14}, [1725] = {18, 29, 14}, [1726] = {6, 366, 14}}

enum {
  AWM_D_VERSION,
  AWM_D_BYTES,
  AWM_D_D_MODEL,
  AWM_D_D_STATE,
  AWM_D_N_LAYERS,
  AWM_D_HEADDIM,
  AWM_D_CONTEXT_LEN,
  AWM_D_RECURRENT,
  AWM_D_PLANES,
  AWM_D_CONTROL_FIRST,
  AWM_D_GEOMETRY,
  AWM_D_HEAD_HIDDEN,
  AWM_D_GAME_RULES,
  AWM_D_CONT,
  AWM_D_BINARY,
  AWM_D_INTS,
  AWM_D_PRESS_EVENTS,
  AWM_D_THRESHOLDS,
  AWM_D_AGE_EMBED,
  AWM_D_N_WIDE,
  AWM_D_N_NARROW,
  AWM_D_CTRL_WIDE,
  AWM_D_CTRL_NARROW,
  AWM_D_NUMERIC,
  AWM_D_LOGITS,
  AWM_D_AT_CORE,
  AWM_D_AT_VELOCITY,
  AWM_D_AT_DYNAMICS,
  AWM_D_N_DYNAMICS,
  AWM_D_AT_AGE,
  AWM_D_AT_PERCENT,
  AWM_D_AT_SHIELD,
  AWM_D_AT_STOCKS,
  AWM_D_AT_X,
  AWM_D_AT_Y,
  AWM_D_AT_SPEED_Y,
  AWM_D_AT_SPEED_ATTACK_Y,
  AWM_D_AT_ACTION,
  AWM_D_AT_JUMPS,
  AWM_D_AT_L_CANCEL,
  AWM_D_AT_HURTBOX,
  AWM_D_AT_GROUND,
  AWM_D_AT_LAST_ATTACK,
  AWM_D_VOCAB_0,
  AWM_D_VOCAB_1,
  AWM_D_VOCAB_2,
  AWM_D_VOCAB_3,
  AWM_D_VOCAB_4,
  AWM_D_VOCAB_5,
  AWM_D_VOCAB_6,
  AWM_D_VOCAB_7,
  AWM_D_VOCAB_8,
  AWM_D_WIDTH_0,
  AWM_D_WIDTH_1,
  AWM_D_WIDTH_2,
  AWM_D_WIDTH_3,
  AWM_D_WIDTH_4,
  AWM_D_WIDTH_5,
  AWM_D_WIDTH_6,
  AWM_D_WIDTH_7,
  AWM_D_WIDTH_8,
  AWM_D_FRAME_K,
  AWM_D_CTRL_K,
  AWM_D_ONE,
  AWM_D_STICK_M,
  AWM_D_STICK_S,
  AWM_D_TRIGGER_M,
  AWM_D_TRIGGER_S,
  AWM_D_FINAL_SHIFT,
  AWM_D_COUNT
};
enum {
  AWM_T_SIGMOID,
  AWM_T_SOFTPLUS,
  AWM_T_EXP2,
  AWM_T_RSQRT,
  AWM_T_LOW,
  AWM_T_HIGH,
  AWM_T_COLUMN_M,
  AWM_T_COLUMN_S,
  AWM_T_FEATURE_M,
  AWM_T_FEATURE_S,
  AWM_T_LEVELS,
  AWM_T_EMBEDDINGS,
  AWM_T_LINES,
  AWM_T_BIRTH_PLACES,
  AWM_T_FRAME_WIDE,
  AWM_T_FRAME_NARROW,
  AWM_T_FRAME_BIAS,
  AWM_T_FRAME_A,
  AWM_T_FRAME_M,
  AWM_T_FINAL_EPS,
  AWM_T_FINAL_W,
  AWM_T_CTRL_WIDE,
  AWM_T_CTRL_NARROW,
  AWM_T_CTRL_BIAS,
  AWM_T_CTRL_A,
  AWM_T_CTRL_M,
  AWM_T_HIDDEN_W,
  AWM_T_HIDDEN_BIAS,
  AWM_T_HIDDEN_A,
  AWM_T_HIDDEN_M,
  AWM_T_NUMERIC_W,
  AWM_T_NUMERIC_BIAS,
  AWM_T_NUMERIC_M,
  AWM_T_NUMERIC_S,
  AWM_T_NUMERIC_L,
  AWM_T_BINARY_W,
  AWM_T_BINARY_BIAS,
  AWM_T_LOGITS_W,
  AWM_T_LOGITS_BIAS,
  AWM_T_LOGITS_A,
  AWM_T_LOGITS_M,
  AWM_T_COUNT
};
enum {
  AWM_L_NORM_EPS,
  AWM_L_NORM_W,
  AWM_L_IN_W,
  AWM_L_IN_BIAS,
  AWM_L_IN_A,
  AWM_L_IN_M,
  AWM_L_CONV_W,
  AWM_L_CONV_BIAS,
  AWM_L_CONV_A,
  AWM_L_CONV_M,
  AWM_L_DECAY_M,
  AWM_L_DECAY_S,
  AWM_L_DRIVE_M,
  AWM_L_DRIVE_S,
  AWM_L_B_M,
  AWM_L_C_M,
  AWM_L_Y_A,
  AWM_L_Y_M,
  AWM_L_SKIP_M,
  AWM_L_GATED_EPS,
  AWM_L_GATED_W,
  AWM_L_OUT_W,
  AWM_L_OUT_BIAS,
  AWM_L_OUT_A,
  AWM_L_OUT_M,
  AWM_L_SCALARS,
  AWM_L_COUNT
};
enum {
  AWM_S_NORM_SHIFT,
  AWM_S_B_S,
  AWM_S_C_S,
  AWM_S_SKIP_S,
  AWM_S_GATE_S,
  AWM_S_GATED_SHIFT,
  AWM_S_COUNT
};

#endif
