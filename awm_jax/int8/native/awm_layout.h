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
#define AWM_ENDING (371)
#define AWM_SPEEDS (5)
#define AWM_SHIELD (3932160)
#define AWM_DYING (7)
#define AWM_DEATHS (5)
#define AWM_BUTTON_BITS {{6, 0}, {6, 1}, {6, 2}, {6, 3}, {6, 4}, {7, 2}, {7, 3}, {7, 0}}
#define AWM_DYING_FRAMES {{0, 60, 12}, {1, 60, 12}, {2, 60, 12}, {4, 150, 5}, {5, 26, 12}, {6, 51, 7}, {7, 78, 12}}
#define AWM_DEATH_FRAMES {{0, 0}, {1, 0}, {2, 0}, {4, 131}, {7, 43}}
#define AWM_LONGEST {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {42, 29, 16}, {121, 29, 17}, {113, 29, 14}, {44, 29, 14}, {40, 29, 21}, {98, 29, 18}, {92, 29, 24}, {0, 0, 0}, {30, 29, 14}, {7, 29, 43}, {55, 27, 14}, {60, 29, 14}, {70, 32, 14}, {65, 32, 14}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {7, 29, 40}, {98, 29, 24}, {10, 29, 14}, {30, 29, 24}, {40, 29, 14}, {43, 29, 14}, {37, 29, 14}, {36, 29, 14}, {6, 29, 48}, {122, 29, 49}, {9, 29, 14}, {75, 29, 14}, {37, 29, 14}, {0, 0, 0}, {45, 29, 14}, {0, 0, 0}, {35, 29, 14}, {118, 29, 14}, {121, 29, 41}, {73, 29, 14}, {0, 0, 0}, {129, 29, 14}, {0, 0, 0}, {72, 29, 14}, {111, 29, 14}, {143, 29, 14}, {63, 29, 14}, {73, 29, 14}, {67, 29, 14}, {69, 29, 14}, {89, 29, 14}, {25, 29, 14}, {25, 29, 14}, {30, 29, 14}, {30, 29, 14}, {50, 29, 14}, {20, 29, 14}, {32, 29, 178}, {42, 29, 178}, {43, 29, 14}, {56, 29, 14}, {64, 29, 178}, {15, 78, 14}, {30, 29, 14}, {38, 29, 178}, {51, 29, 14}, {59, 29, 14}, {120, 29, 178}, {114, 38, 14}, {0, 0, 0}, {128, 38, 14}, {0, 0, 0}, {131, 38, 14}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {8, 29, 179}, {104, 29, 24}, {19, 29, 14}, {51, 29, 179}, {8, 29, 179}, {26, 193, 184}, {0, 0, 0}, {0, 0, 0}, {30, 29, 178}, {57, 29, 14}, {40, 29, 14}, {35, 29, 14}, {0, 0, 0}, {26, 88, 192}, {88, 29, 194}, {55, 29, 192}, {30, 29, 178}, {57, 29, 14}, {40, 29, 14}, {35, 29, 14}, {0, 0, 0}, {26, 29, 14}, {40, 29, 178}, {40, 29, 14}, {0, 0, 0}, {51, 350, 14}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {86, 29, 14}, {5, 29, 216}, {95, 29, 14}, {4, 29, 216}, {103, 29, 221}, {79, 29, 216}, {0, 0, 0}, {72, 29, 14}, {69, 29, 14}, {79, 29, 14}, {89, 29, 14}, {2, 224, 14}, {63, 225, 14}, {23, 224, 14}, {5, 29, 227}, {103, 29, 241}, {29, 29, 227}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {44, 29, 14}, {44, 29, 14}, {32, 29, 14}, {49, 35, 14}, {9, 29, 238}, {16, 29, 14}, {57, 86, 14}, {45, 88, 14}, {57, 90, 14}, {58, 90, 199}, {0, 0, 0}, {30, 27, 14}, {13, 29, 246}, {121, 29, 18}, {45, 38, 14}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {30, 38, 14}, {7, 253, 14}, {0, 0, 0}, {59, 29, 14}, {34, 29, 14}, {74, 29, 14}, {59, 89, 14}, {79, 29, 14}, {50, 29, 14}, {21, 261, 14}, {39, 29, 14}, {15, 263, 14}, {43, 29, 14}, {115, 29, 14}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {102, 342, 14}, {128, 29, 343}, {42, 364, 14}, {119, 345, 345}, {65, 346, 14}, {55, 29, 14}, {110, 29, 14}, {97, 29, 349}, {79, 29, 178}, {79, 351, 14}, {79, 352, 14}, {55, 35, 14}, {73, 35, 14}, {64, 35, 356}, {49, 35, 357}, {105, 358, 14}, {84, 35, 14}, {79, 359, 14}, {143, 361, 360}, {63, 35, 361}, {67, 29, 24}, {53, 29, 363}, {83, 365, 14}, {54, 29, 361}, {70, 366, 14}, {40, 368, 14}, {0, 0, 0}, {45, 35, 14}, {0, 0, 0}, {73, 35, 14}}

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
