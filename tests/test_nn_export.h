/* Networks saved for diffusers: what its own modules made of such files is said at the end. */
#ifndef TEST_NN_EXPORT_H
#define TEST_NN_EXPORT_H

#include "fixtures_core.h"
#include "fixtures_nn.h"

#define EXPORT_FOLDER "tests"
#define EXPORT_CONFIG "tests/config.json"
#define EXPORT_SCHEDULER "tests/scheduler_config.json"
#define EXPORT_WEIGHTS "tests/diffusion_pytorch_model.safetensors"

/* How many of the three are there; removes them. */
static int export_files(void) {
    static const char *const paths[] = {EXPORT_CONFIG, EXPORT_SCHEDULER, EXPORT_WEIGHTS};
    int i, there = 0;
    for (i = 0; i < 3; i++) there += !remove(paths[i]);
    return there;
}

/* The text of a file, with an end; NULL: there is none. Valid until the next call. */
static const char *export_text(const char *path) {
    static char text[65536];
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    text[size] = 0;
    return file ? text : NULL;
}

/* 8 x 8, one block in each of two levels, attention in the second one. */
static ssde_unet_desc export_ddpm(ssde_context *context) {
    ssde_unet_desc desc = ssde_ddpm(8, 8, 3);
    desc.context = context;
    desc.nf = 32;
    desc.num_levels = 2;
    desc.num_res_blocks = 1;
    desc.num_attn_resolutions = 1;
    desc.attn_resolutions[0] = 4;
    desc.attn_every_block = 1;
    return desc;
}

static ssde_unet_desc export_ncsnpp(ssde_context *context) {
    ssde_unet_desc desc = ssde_ncsnpp(8, 8, 3);
    desc.context = context;
    desc.nf = 64;
    desc.num_levels = 2;
    desc.num_res_blocks = 1;
    desc.num_attn_resolutions = 1;
    desc.attn_resolutions[0] = 4;
    desc.progressive = SSDE_OUTPUT_SKIP;
    desc.progressive_input = SSDE_INPUT_SKIP;
    return desc;
}

/* A change to one of the two that UNet2DModel has no key for, and the words that say so. */
static const char *export_change(ssde_unet_desc *desc, int which) {
    switch (which) {
        case 0: desc->conditional = 0; return "conditional is 0";
        case 1: desc->noise_conditioning = SSDE_NOISE_SCALE_SHIFT; return "noise_conditioning";
        case 2: desc->classes = 3; return "classes";
        case 3: desc->resamp_with_conv = 0; return "resamp_with_conv";
        case 4: desc->attn_every_block = !desc->attn_every_block; return "attn_every_block";
        case 5: desc->scale_by_sigma = !desc->scale_by_sigma; return "scale_by_sigma";
        case 6: desc->resblock_type = SSDE_RESBLOCK_DDPM; return "resblock_type";
        case 7: desc->progressive = SSDE_OUTPUT_RESIDUAL; return "progressive is";
        case 8: desc->progressive_input = SSDE_INPUT_RESIDUAL; return "progressive_input";
        case 9: desc->progressive_combine = SSDE_COMBINE_CAT; return "progressive_combine";
        case 10: desc->skip_rescale = 0; return "skip_rescale";
        case 11: desc->fir = 0; return "fir is 0";
        case 12: desc->fir_kernel[1] = 2.0; return "1 3 3 1";
        case 13: desc->nf = 32; return "fewer than 128 channels";
        case 14: desc->embedding_type = SSDE_EMBEDDING_POSITIONAL; return "scale_by_sigma";
        default: return NULL;
    }
}

static void export_refuses(ssde_context *context, const ssde_unet_desc *desc, const char *words) {
    ssde_net *net;
    CHECK_OK(ssde_unet_create(&net, desc));
    CHECK_FAILS(context, ssde_net_save_diffusers(net, NULL, EXPORT_FOLDER), SSDE_ERROR_UNSUPPORTED, words);
    ssde_net_destroy(net);
}

/* Flags of the paper's networks. */
static void test_models_export_flags(void) {
    ssde_context context = ssde_context_defaults();
    int which;
    export_files();
    for (which = 0;; which++) {
        ssde_unet_desc ddpm = export_ddpm(&context), ncsnpp = export_ncsnpp(&context);
        const char *words = export_change(&ddpm, which);
        if (!words) break;
        if (which < 6) export_refuses(&context, &ddpm, words);
        export_change(&ncsnpp, which);
        export_refuses(&context, &ncsnpp, words);
    }
    CHECK(which == 15 && !export_files());
}

/* Flags of UNet2DModel's own. */
static const char *export_change_2d(ssde_unet2d_desc *desc, int which) {
    switch (which) {
        case 0: desc->num_heads = 4; return "num_heads is the same";
        case 1: desc->num_heads = 4, desc->num_heads_up = 2; return "num_heads_up";
        case 2: desc->time_width = 64; return "time_width";
        case 3: desc->down[0].resampling = SSDE_RESAMPLING_PLAIN; return "resampling is plain";
        case 4: desc->up[1].resampling = SSDE_RESAMPLING_PLAIN; return "resampling is plain";
        case 5: desc->down[0].resampling = SSDE_RESAMPLING_BLOCK; return "resampling differs";
        default: return NULL;
    }
}

static ssde_unet2d_desc export_unet2d(ssde_context *context) {
    ssde_unet2d_desc desc = ssde_unet2d(8, 8, 3);
    int i;
    desc.context = context;
    desc.num_levels = 3;
    desc.layers_per_block = 1;
    for (i = 0; i < 3; i++) {
        desc.block_out_channels[i] = i ? 64 : 32;
        desc.down[i].attention = desc.up[i].attention = 1;
    }
    return desc;
}

static void test_models_export_flags_2d(void) {
    ssde_context context = ssde_context_defaults();
    ssde_unet2d_desc desc;
    ssde_net *net, *back;
    int which;
    for (which = 0;; which++) {
        const char *words;
        desc = export_unet2d(&context);
        words = export_change_2d(&desc, which);
        if (!words) break;
        CHECK_OK(ssde_unet2d_create(&net, &desc));
        CHECK_FAILS(&context, ssde_net_save_diffusers(net, NULL, EXPORT_FOLDER), SSDE_ERROR_UNSUPPORTED, words);
        ssde_net_destroy(net);
    }
    CHECK(which == 6 && !export_files());
    desc = export_unet2d(&context); /* heads by number, where that is one width */
    desc.down[0].attention = desc.up[0].attention = 0;
    desc.num_heads = 4;
    CHECK_OK(ssde_unet2d_create(&net, &desc));
    CHECK_OK(ssde_net_save_diffusers(net, NULL, EXPORT_FOLDER "/"));
    CHECK(strstr(export_text(EXPORT_CONFIG), "\"attention_head_dim\": 16,") != NULL);
    CHECK_OK(ssde_net_load_diffusers(&context, &back, EXPORT_CONFIG, EXPORT_WEIGHTS));
    CHECK(!memcmp(net->weights, back->weights, net->weight_count * sizeof(float)));
    CHECK(export_files() == 2);
    ssde_net_destroy(net);
    ssde_net_destroy(back);
}

/* Networks and SDEs that no scheduler fits, and arguments; nothing is left behind. */
static void test_models_export_refusals(void) {
    static double mean[3] = {1.0, 0.8, 0.1}, std[3] = {0.0, 0.6, 1.0}, label[3] = {0.0, 1.0, 3.0};
    static const char *const words[] = {"m^2 + std^2 is not 1", "labels are not the indices"};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_unet_desc ddpm = export_ddpm(&context), ncsnpp = export_ncsnpp(&context);
    ssde_mlp_desc mlp = ssde_mlp(2);
    ssde_sde vp = ssde_vp(0.1, 20.0), ve = ssde_ve(0.01, 50.0), subvp = ssde_subvp(0.1, 20.0), table;
    ssde_net *net;
    float bad = NAN;
    int i;
    mlp.context = &context;
    CHECK_OK(ssde_mlp_create(&net, &mlp));
    CHECK_FAILS(&context, ssde_net_save_diffusers(net, NULL, EXPORT_FOLDER), SSDE_ERROR_UNSUPPORTED, "it is none of");
    ssde_net_destroy(net);
    CHECK_OK(ssde_net_create(&context, &net, 1));
    CHECK_FAILS(&context, ssde_net_save_diffusers(net, NULL, EXPORT_FOLDER), SSDE_ERROR_ARGUMENT, "not finished");
    ssde_net_destroy(net);
    CHECK_OK(ssde_unet_create(&net, &ddpm));
    CHECK_FAILS(&context, ssde_net_save_diffusers(net, NULL, ""), SSDE_ERROR_ARGUMENT, "folder is NULL or empty");
    CHECK_FAILS(&context, ssde_net_save_diffusers(net, NULL, "tests/no_such_folder"), SSDE_ERROR_FILE, "is its folder");
    CHECK_FAILS(&context, ssde_net_save_diffusers(net, &ve, EXPORT_FOLDER), SSDE_ERROR_UNSUPPORTED,
                "tells the network");
    CHECK_FAILS(&context, ssde_net_save_diffusers(net, &subvp, EXPORT_FOLDER), SSDE_ERROR_UNSUPPORTED,
                "neither VP nor VE");
    for (i = 0; i < 2; i++) {
        table = ssde_tabulated(mean, std, i ? label : NULL, 3);
        CHECK_FAILS(&context, ssde_net_save_diffusers(net, &table, EXPORT_FOLDER), SSDE_ERROR_UNSUPPORTED, words[i]);
        std[2] = sqrt(1.0 - 0.01);
    }
    net->means.output = SSDE_PREDICT_SCORE;
    CHECK_FAILS(&context, ssde_net_save_diffusers(net, &vp, EXPORT_FOLDER), SSDE_ERROR_UNSUPPORTED,
                "neither noise nor");
    net->weights[7] = bad;
    CHECK_FAILS(&context, ssde_net_save_diffusers(net, NULL, EXPORT_FOLDER), SSDE_ERROR_NUMERIC, "not finite");
    ssde_net_destroy(net);
    CHECK_OK(ssde_unet_create(&net, &ncsnpp));
    CHECK_FAILS(&context, ssde_net_save_diffusers(net, &vp, EXPORT_FOLDER), SSDE_ERROR_UNSUPPORTED, "wants VE's sigma");
    CHECK(!export_files());
    for (i = 0;; i++) {
        ssde_status status;
        memory.refuse = memory.made + i;
        status = ssde_net_save_diffusers(net, &ve, EXPORT_FOLDER);
        memory.refuse = -1;
        if (status == SSDE_OK) break;
        CHECK(status == SSDE_ERROR_MEMORY && !export_files());
    }
    CHECK(i > 10 && export_files() == 3);
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
}

/* What came from diffusers goes back to it bit for bit, with the same configuration. */
static void test_models_export_golden(void) {
    static const char *const names[] = {"df_cifar_no_head_key", "df_class_scale_shift", "df_consistency",  "df_fourier",
                                        "df_learned_time",      "df_mnist_old_keys",    "df_no_attention", "df_no_mid",
                                        "df_resnet_updown",     "df_odd_heads",         "df_skip_heads"};
    ssde_context context = ssde_context_defaults();
    ssde_net *net, *back;
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        char config[128], weights[128];
        snprintf(config, sizeof config, "tests/golden/%s.config.json", names[i]);
        snprintf(weights, sizeof weights, "tests/golden/%s.weights.safetensors", names[i]);
        CHECK_OK(ssde_net_load_diffusers(&context, &net, config, weights));
        if (!net) continue;
        CHECK_OK(ssde_net_save_diffusers(net, NULL, EXPORT_FOLDER));
        CHECK_OK(ssde_net_load_diffusers(&context, &back, EXPORT_CONFIG, EXPORT_WEIGHTS));
        if (back) {
            ssde_tensor_file *file;
            CHECK(!strcmp(net->description, back->description) && net->means.discrete == back->means.discrete);
            CHECK(!memcmp(net->weights, back->weights, net->weight_count * sizeof(float)));
            CHECK_OK(ssde_tensor_file_open(&context, &file, EXPORT_WEIGHTS));
            CHECK(!strcmp(ssde_tensor_file_metadata(file, "format"), "pt"));
            ssde_tensor_file_close(file);
        }
        CHECK(export_files() == 2);
        ssde_net_destroy(back);
        ssde_net_destroy(net);
    }
}

/* The paper's networks under diffusers' names compute the same. */
static void test_models_export_paper(void) {
    static float x[2 * 192], out[2][2 * 192];
    static const float told[2] = {3.0f, 17.0f};
    ssde_context context = ssde_context_defaults();
    int which, k;
    for (k = 0; k < 2 * 192; k++) x[k] = core_number((size_t)k);
    for (which = 0; which < 4; which++) {
        ssde_unet_desc desc = which < 2 ? export_ddpm(&context) : export_ncsnpp(&context);
        ssde_sde sde = which == 2 ? ssde_ve(0.02, 40.0) : ssde_vp(0.1, 20.0);
        ssde_net *nets[2] = {NULL, NULL};
        if (which == 1) desc.num_attn_resolutions = desc.attn_every_block = 0;
        if (which == 3) desc.embedding_type = SSDE_EMBEDDING_POSITIONAL, desc.scale_by_sigma = 0, desc.centered = 1;
        desc.init_scale = 1.0;
        CHECK_OK(ssde_unet_create(&nets[0], &desc));
        for (k = 0; k < (int)nets[0]->weight_count; k++) nets[0]->weights[k] = 0.1f * core_number((size_t)k);
        nets[0]->means.discrete = which < 2;
        CHECK_OK(ssde_net_save_diffusers(nets[0], &sde, EXPORT_FOLDER));
        CHECK_OK(ssde_net_load_diffusers(&context, &nets[1], EXPORT_CONFIG, EXPORT_WEIGHTS));
        for (k = 0; k < 2 && nets[1]; k++) {
            ssde_run_desc how = ssde_run_defaults(SSDE_RUN_INFERENCE, 2);
            ssde_run *run;
            how.context = &context;
            CHECK_OK(ssde_run_create(&run, nets[k], &how));
            CHECK_OK(ssde_run_forward(run, x, told, told, 2, 0, 0, NULL, out[k]));
            ssde_run_destroy(run);
        }
        for (k = 0; k < 2 * 192; k++) CHECK_NEAR(out[1][k], out[0][k], 2e-6 * (1.0 + fabs((double)out[0][k])));
        if (which < 2) CHECK(strstr(export_text(EXPORT_SCHEDULER), "\"beta_start\": 0.0001, \"beta_end\": 0.02,"));
        if (which == 2)
            CHECK(strstr(export_text(EXPORT_SCHEDULER), "\"sigma_min\": 0.02, \"sigma_max\": 40.0,") ||
                  strstr(export_text(EXPORT_SCHEDULER), "\"sigma_min\": 0.02, \"sigma_max\": 40,"));
        if (which == 3) CHECK(strstr(export_text(EXPORT_SCHEDULER), "\"trained_betas\": [0, 0.00011"));
        CHECK(export_files() == 3);
        for (k = 0; k < 2; k++) ssde_net_destroy(nets[k]);
    }
}

/* trained_betas give back a table's levels. */
static void test_models_export_table(void) {
    static double mean[5] = {0.99, 0.9, 0.6, 0.2, 0.0}, std[5];
    ssde_context context = ssde_context_defaults();
    ssde_unet_desc desc = export_ddpm(&context);
    ssde_sde table;
    ssde_net *net;
    const char *text;
    double product = 1.0;
    int i;
    for (i = 0; i < 5; i++) std[i] = sqrt(1.0 - mean[i] * mean[i]);
    table = ssde_tabulated(mean, std, NULL, 5);
    CHECK_OK(ssde_unet_create(&net, &desc));
    net->means.output = SSDE_PREDICT_VELOCITY;
    net->means.discrete = 1;
    CHECK_OK(ssde_net_save_diffusers(net, &table, EXPORT_FOLDER));
    text = export_text(EXPORT_SCHEDULER);
    CHECK(text && strstr(text, "\"prediction_type\": \"v_prediction\"") && strstr(text, "\"num_train_timesteps\": 5,"));
    text = strchr(strstr(text, "trained_betas"), '[');
    for (i = 0; i < 5; i++) {
        product *= 1.0 - strtod(text + 1, (char **)&text);
        CHECK_NEAR(product, mean[i] * mean[i], 1e-14);
    }
    CHECK(*text == ']' && export_files() == 3);
    ssde_net_destroy(net);
}

/* A table is in model files, its levels bit for bit, and belongs to the network that is loaded. */
static void test_models_tables(void) {
    static double mean[40], std[40], label[40];
    static const char *const bad[][3] = {
        {"sde.level_std", "sde.level_sdt", "'sde.level_std' in its description is missing"},
        {"\"model.num_scales\": 40", "\"model.num_scales\": 41", "is not one number for each"},
        {"\"model.num_scales\": 40", "\"model.num_scales\": 4e9", "num_scales"},
        {"\"model.num_scales\": 40", "\"model.num_scales\": 9e8", "is too large"},
        {"\"sde.level_label\": [", "\"sde.level_label\": [1,", "has too many entries"}};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_mlp_desc desc = ssde_mlp(2);
    ssde_schedule_desc schedule;
    ssde_sde table, read;
    ssde_net *net, *back;
    size_t i, way;
    memset(&schedule, 0, sizeof schedule);
    schedule.kind = SSDE_SCHEDULE_COSINE;
    schedule.levels = 40;
    CHECK_OK(ssde_schedule_levels(&schedule, mean, std));
    for (i = 0; i < 40; i++) label[i] = 25.0 * (double)i + 1.0 / 3.0;
    desc.context = &context;
    desc.hidden = 8;
    CHECK_OK(ssde_mlp_create(&net, &desc));
    net->means.output = SSDE_PREDICT_VELOCITY;
    for (way = 0; way < 2; way++) {
        table = ssde_tabulated(mean, std, way ? label : NULL, 40);
        table.prior_std = way ? 0.9 : 0.0;
        CHECK_OK(ssde_net_save(net, &table, FILES_PATH));
        CHECK_OK(ssde_net_load(&context, &back, NULL, FILES_PATH));
        CHECK(!back->table);
        ssde_net_destroy(back);
        memset(&read, 0, sizeof read);
        CHECK_OK(ssde_net_load(&context, &back, &read, FILES_PATH));
        if (!back) return;
        CHECK(read.kind == SSDE_TABULATED && read.num_scales == 40 && !memcmp(read.level_mean, mean, sizeof mean));
        CHECK(!memcmp(read.level_std, std, sizeof std) && (read.level_label != NULL) == (way == 1));
        CHECK(!way || (read.level_label && !memcmp(read.level_label, label, sizeof label)));
        CHECK_NEAR(read.prior_std, table.prior_std, 0.0);
        CHECK_OK(ssde_sde_check(&context, &read));
        CHECK(ssde_net_output(back, NULL) == SSDE_PREDICT_VELOCITY);
        CHECK(ssde_net_memory(back) > ssde_net_memory(net) + sizeof mean + sizeof std);
        ssde_net_destroy(back);
    }
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        ssdei_tensor_writer writer;
        ssdei_part part = {"", 0, NULL};
        char *config, edited[8192], *at;
        part.values = net->weights;
        CHECK_OK(ssdei_describe_model(&context, net, &table, &config));
        at = strstr(config, bad[i][0]);
        CHECK(at != NULL);
        snprintf(edited, sizeof edited, "%.*s%s%s", (int)(at - config), config, bad[i][1], at + strlen(bad[i][0]));
        ssdei_tensor_writer_begin(&writer, &context);
        ssdei_tensor_writer_metadata(&writer, "config", edited);
        ssdei_part_write(&writer, net, &part, NULL);
        CHECK_OK(ssdei_tensor_writer_open(&writer, FILES_PATH));
        {
            float *scratch = ssdei_parameter_scratch(&context, net);
            ssdei_part_write(&writer, net, &part, scratch);
            ssdei_release(&context, scratch);
        }
        CHECK_OK(ssdei_tensor_writer_end(&writer, SSDE_OK));
        ssdei_release(&context, config);
        CHECK_FAILS(&context, ssde_net_load(&context, &back, &read, FILES_PATH), SSDE_ERROR_FORMAT, bad[i][2]);
        CHECK(!back);
    }
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
    remove(FILES_PATH);
}

#define TEST_NN_EXPORT_LIST(X) \
    X(models_tables)           \
    X(models_export_flags)     \
    X(models_export_flags_2d)  \
    X(models_export_refusals)  \
    X(models_export_golden)    \
    X(models_export_paper)     \
    X(models_export_table)

#endif
