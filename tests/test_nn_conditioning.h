/* Conditioning: on noise in its three ways, on classes with a null class, classifier-free guidance, the
   noise-conditional classifier and its gradient. */
#ifndef TEST_NN_CONDITIONING_H
#define TEST_NN_CONDITIONING_H

#include "test_nn.h"

#define CONDITIONING_PATH "test_nn_conditioning.safetensors"

static ssde_unet_desc conditioning_unet(ssde_noise_conditioning noise, size_t classes) {
    ssde_unet_desc desc = nn_small_unet();
    desc.nf = 4;
    desc.height = 4;
    desc.dropout = 0.0;
    desc.noise_conditioning = noise;
    desc.classes = classes;
    return desc;
}

/* The network, with weights that are zero nowhere. */
static ssde_net *conditioning_net(ssde_noise_conditioning noise, size_t classes, uint64_t seed) {
    ssde_unet_desc desc = conditioning_unet(noise, classes);
    ssde_net *net = NULL;
    oracle o;
    CHECK_OK(ssde_unet_create(&net, &desc));
    oracle_from_net(&o, net);
    oracle_random_weights(&o, seed);
    o.net = NULL;
    oracle_close(&o);
    return net;
}

static const ssde_parameter *conditioning_parameter(const ssde_net *net, const char *name, size_t *index) {
    for (*index = 0; *index < ssde_net_parameter_count(net); ++*index)
        if (!strcmp(ssde_net_parameter(net, *index)->name, name)) return ssde_net_parameter(net, *index);
    check_report(__FILE__, __LINE__, "no parameter '%s'", name);
    return NULL;
}

/* Every way, with and without classes, both embeddings: values and derivatives against the oracle; parameters of the
   shapes that the way asks for. */
static void test_nn_conditioning_ways(void) {
    nn_options options = nn_usual();
    int which, tier;
    options.rows = 1;
    options.forward = 1e-5;
    options.gradient = 2e-5;
    for (which = 0; which < 12; which += check_quick ? 5 : 1) {
        ssde_unet_desc desc = conditioning_unet((ssde_noise_conditioning)(which % 3), which / 3 % 2 ? 3 : 0);
        size_t modulated = desc.noise_conditioning == SSDE_NOISE_SCALE_SHIFT ? 2 : 1, index;
        int channel = desc.noise_conditioning == SSDE_NOISE_CHANNEL;
        int embedded = channel ? desc.classes > 0 : 1;
        ssde_net *net = NULL;
        ssde_context context;
        const ssde_parameter *parameter;
        nn_data data;
        oracle o;
        char name[64];
        desc.embedding_type = which < 6 ? SSDE_EMBEDDING_FOURIER : SSDE_EMBEDDING_POSITIONAL;
        CHECK_OK(ssde_unet_create(&net, &desc));
        if (!net) continue;
        CHECK(ssde_net_classes(net) == desc.classes);
        /* Fourier's W and two dense layers, then the first convolution, then the first block */
        snprintf(name, sizeof name, "all_modules.%d.weight", channel ? 0 : which < 6 ? 3 : 2);
        parameter = conditioning_parameter(net, name, &index);
        CHECK(parameter && parameter->rank == 4 && parameter->shape[1] == 3u + (channel ? 1u : 0u));
        if (embedded) {
            snprintf(name, sizeof name, "all_modules.%d.Dense_0.weight", channel ? 1 : which < 6 ? 4 : 3);
            parameter = conditioning_parameter(net, name, &index);
            CHECK(parameter && parameter->shape[0] == modulated * 4 && parameter->shape[1] == 16);
        }
        if (desc.classes) {
            parameter = conditioning_parameter(net, "class_embedding.weight", &index);
            CHECK(parameter && parameter->rank == 2 && parameter->shape[0] == 4 && parameter->shape[1] == 16);
        }
        oracle_from_net(&o, net);
        oracle_random_weights(&o, (uint64_t)which);
        o.parameters = 0; /* jointly, below */
        nn_data_open(&data, &o, &options);
        for (tier = 0; nn_tier(tier, &context); tier++) {
            float *gradient = (float *)calloc(ssde_net_weight_count(net), sizeof *gradient);
            ssde_run *run = nn_run(net, &context, SSDE_RUN_TRAIN, 1);
            nn_check_tier(&o, &data, &options, &context);
            CHECK_OK(nn_forward(run, &data, NULL));
            CHECK_OK(ssde_run_backward(run, data.v, NULL, gradient));
            ssde_run_destroy(run);
            if (tier == 0) nn_check_jointly(&o, &data, gradient, options.gradient);
            free(gradient);
        }
        nn_data_close(&data);
        oracle_close(&o);
    }
}

enum { CLASS_ROWS = 5, CLASS_DIM = 4 * 8 * 3 };
typedef struct class_data {
    float x[CLASS_ROWS * CLASS_DIM], v[CLASS_ROWS * CLASS_DIM];
    double t[CLASS_ROWS];
    uint64_t sample[CLASS_ROWS];
} class_data;
static const int32_t class_of_sample[8] = {2, 0, -1, 1, 2, 1, 0, 2}; /* of samples 10 ... 17 */

static void class_data_fill(class_data *data) {
    static const double t[CLASS_ROWS] = {0.5, 0.5, 0.2, 0.9, 0.7};
    static const uint64_t sample[CLASS_ROWS] = {13, 10, 12, 17, 11};
    oracle_normals(1, 1.0, CLASS_ROWS * CLASS_DIM, data->x);
    oracle_normals(2, 1.0, CLASS_ROWS * CLASS_DIM, data->v);
    memcpy(data->t, t, sizeof t);
    memcpy(data->sample, sample, sizeof sample);
}

/* A row's output is that of a network whose null class has the row's class's embedding, to the bit. */
static void test_nn_conditioning_classes(void) {
    ssde_context context;
    ssde_net *net = conditioning_net(SSDE_NOISE_EMBEDDING, 3, 5);
    static const int32_t classes[4] = {2, -1, 0, 1}, wrong[2] = {1, 3}, negative[1] = {-2};
    float x[4 * CLASS_DIM], out[4 * CLASS_DIM], expected[CLASS_DIM], table[4 * 16], moved[4 * 16];
    const float label[4] = {0.5f, 0.5f, 0.5f, 0.5f};
    size_t index, row;
    ssde_run *run;
    memset(&context, 0, sizeof context);
    run = nn_run(net, &context, SSDE_RUN_INFERENCE, 4);
    oracle_normals(3, 1.0, 4 * CLASS_DIM, x);
    CHECK_OK(ssde_run_set_classes(run, classes, 4));
    CHECK_OK(ssde_run_forward(run, x, label, label, 4, 0, 0, NULL, out));
    CHECK_OK(ssde_run_forward(run, x, label, label, 2, 0, 0, NULL, out + 2 * CLASS_DIM));
    CHECK_SAME(out + 2 * CLASS_DIM, out, 2 * CLASS_DIM * sizeof *out); /* they stay */
    CHECK_OK(ssde_run_forward(run, x, label, label, 4, 0, 0, NULL, out));
    conditioning_parameter(net, "class_embedding.weight", &index);
    CHECK_OK(ssde_net_get(net, index, table));
    CHECK_OK(ssde_run_set_classes(run, NULL, 0));
    for (row = 0; row < 4; row++) {
        memcpy(moved, table, sizeof table);
        memcpy(moved + 3 * 16, table + (classes[row] < 0 ? 3 : classes[row]) * 16, 16 * sizeof *table);
        CHECK_OK(ssde_net_set(net, index, moved));
        CHECK_OK(ssde_run_forward(run, x + row * CLASS_DIM, label, label, 1, 0, 0, NULL, expected));
        CHECK_SAME(out + row * CLASS_DIM, expected, sizeof expected);
        if (row) CHECK(check_distance(out, out + row * CLASS_DIM, CLASS_DIM) > 1e-2);
    }
    CHECK_FAILS(&context, ssde_run_set_classes(run, wrong, 2), SSDE_ERROR_ARGUMENT, "classes[1] is 3, wanted -1 to 2");
    CHECK_FAILS(&context, ssde_run_set_classes(run, negative, 1), SSDE_ERROR_ARGUMENT, "classes[0] is -2");
    CHECK_FAILS(&context, ssde_run_set_classes(run, classes, 0), SSDE_ERROR_ARGUMENT, "rows is 0");
    CHECK_FAILS(&context, ssde_run_set_classes(run, classes, 5), SSDE_ERROR_ARGUMENT, "rows is 5");
    CHECK_STATUS(ssde_run_set_classes(NULL, classes, 1), SSDE_ERROR_ARGUMENT);
    CHECK_OK(ssde_run_set_classes(run, classes, 2));
    CHECK_FAILS(&context, ssde_run_forward(run, x, label, label, 3, 0, 0, NULL, out), SSDE_ERROR_ARGUMENT, "wanted 2");
    ssde_run_destroy(run);
    ssde_net_destroy(net);
    net = conditioning_net(SSDE_NOISE_EMBEDDING, 0, 5);
    run = nn_run(net, &context, SSDE_RUN_INFERENCE, 4);
    CHECK_FAILS(&context, ssde_run_set_classes(run, classes, 1), SSDE_ERROR_ARGUMENT, "has none");
    ssde_run_destroy(run);
    ssde_net_destroy(net);
}

static ssde_score_net *class_score_net(const ssde_net *net, ssde_context *context, double guidance, size_t max_rows) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_net_desc desc;
    ssde_score_net *score_net = NULL;
    memset(&desc, 0, sizeof desc);
    desc.max_rows = max_rows;
    desc.guidance = guidance;
    desc.context = context;
    CHECK_OK(ssde_score_net_create(&score_net, net, &sde, &desc));
    return score_net;
}

/* (1 + w) s(x, c) - w s(x, null) and its VJP, from two models of the same network; rows in any company. */
static void class_guidance_case(double w, ssde_context *context) {
    ssde_net *net = conditioning_net(SSDE_NOISE_EMBEDDING, 3, 6);
    ssde_score_net *guided = class_score_net(net, context, w, CLASS_ROWS);
    ssde_score_net *with = class_score_net(net, context, 0.0, CLASS_ROWS);
    ssde_score_net *without = class_score_net(net, context, 0.0, CLASS_ROWS);
    ssde_score_model models[3];
    class_data data;
    float out[2][3][CLASS_ROWS * CLASS_DIM], alone[CLASS_DIM], expected[CLASS_ROWS * CLASS_DIM];
    size_t i, row;
    int m, k;
    class_data_fill(&data);
    CHECK_OK(ssde_score_net_set_classes(guided, class_of_sample, 8, 10));
    CHECK_OK(ssde_score_net_set_classes(with, class_of_sample, 8, 10));
    models[0] = ssde_score_net_model(guided);
    models[1] = ssde_score_net_model(with);
    models[2] = ssde_score_net_model(without);
    for (m = 0; m < 3; m++) {
        CHECK(models[m].max_rows == CLASS_ROWS);
        CHECK_OK(models[m].score(models[m].user, data.x, data.t, data.sample, CLASS_ROWS, 1, out[0][m]));
        CHECK_OK(models[m].vjp(models[m].user, data.v, CLASS_ROWS, out[1][m]));
        CHECK_OK(models[m].vjp(models[m].user, data.v, CLASS_ROWS, expected));
        CHECK_SAME(expected, out[1][m], sizeof expected);
    }
    for (k = 0; k < 2; k++) {
        for (i = 0; i < CLASS_ROWS * CLASS_DIM; i++)
            expected[i] = (float)((1.0 + w) * (double)out[k][1][i] - w * (double)out[k][2][i]);
        CHECK_ARRAY(out[k][0], expected, CLASS_ROWS * CLASS_DIM, 2e-6);
        CHECK(check_distance(out[k][1], out[k][2], CLASS_ROWS * CLASS_DIM) > 1e-2);
    }
    for (row = 0; row < CLASS_ROWS; row++) {
        CHECK_OK(
            models[0].score(models[0].user, data.x + row * CLASS_DIM, data.t + row, data.sample + row, 1, 1, alone));
        CHECK_SAME(alone, out[0][0] + row * CLASS_DIM, sizeof alone);
        CHECK_OK(models[0].vjp(models[0].user, data.v + row * CLASS_DIM, 1, alone));
        CHECK_SAME(alone, out[1][0] + row * CLASS_DIM, sizeof alone);
    }
    /* sample 12 has the null class: guided or not, the same */
    CHECK_ARRAY(out[0][0] + 2 * CLASS_DIM, out[0][2] + 2 * CLASS_DIM, CLASS_DIM, 2e-6);
    data.sample[1] = 9;
    CHECK_FAILS(context, models[0].score(models[0].user, data.x, data.t, data.sample, CLASS_ROWS, 0, expected),
                SSDE_ERROR_ARGUMENT, "sample 9 has no class");
    data.sample[1] = 18;
    CHECK_FAILS(context, models[0].score(models[0].user, data.x, data.t, data.sample, CLASS_ROWS, 0, expected),
                SSDE_ERROR_ARGUMENT, "sample 18 has no class");
    data.sample[1] = ((uint64_t)1 << 60) + 1;
    CHECK_FAILS(context, models[0].score(models[0].user, data.x, data.t, data.sample, CLASS_ROWS, 0, expected),
                SSDE_ERROR_ARGUMENT, "sample 1152921504606846977 has no class");
    CHECK_OK(ssde_score_net_set_classes(guided, NULL, 0, 0));
    CHECK_OK(models[0].score(models[0].user, data.x, data.t, NULL, CLASS_ROWS, 0, expected));
    CHECK_ARRAY(expected, out[0][2], CLASS_ROWS * CLASS_DIM, 2e-6);
    ssde_score_net_destroy(guided);
    ssde_score_net_destroy(with);
    ssde_score_net_destroy(without);
    ssde_net_destroy(net);
}

static void test_nn_conditioning_guidance(void) {
    static const int32_t wrong[2] = {0, 3};
    ssde_context context;
    ssde_net *net;
    ssde_score_net *score_net = NULL;
    ssde_score_net_desc desc;
    ssde_sde sde = ssde_vp(0.1, 20.0);
    int tier;
    for (tier = 0; nn_tier(tier, &context); tier++) {
        class_guidance_case(1.5, &context);
        class_guidance_case(-0.5, &context);
    }
    memset(&context, 0, sizeof context);
    memset(&desc, 0, sizeof desc);
    desc.context = &context;
    net = conditioning_net(SSDE_NOISE_EMBEDDING, 3, 6);
    score_net = class_score_net(net, &context, 0.0, 2);
    CHECK_FAILS(&context, ssde_score_net_set_classes(score_net, wrong, 2, 0), SSDE_ERROR_ARGUMENT, "classes[1] is 3");
    CHECK_FAILS(&context, ssde_score_net_set_classes(score_net, wrong, 0, 0), SSDE_ERROR_ARGUMENT, "count is 0");
    CHECK_STATUS(ssde_score_net_set_classes(NULL, wrong, 1, 0), SSDE_ERROR_ARGUMENT);
    ssde_score_net_destroy(score_net);
    desc.guidance = NAN;
    CHECK_FAILS(&context, ssde_score_net_create(&score_net, net, &sde, &desc), SSDE_ERROR_ARGUMENT, "guidance");
    ssde_net_destroy(net);
    net = conditioning_net(SSDE_NOISE_EMBEDDING, 0, 6);
    desc.guidance = 1.0;
    CHECK_FAILS(&context, ssde_score_net_create(&score_net, net, &sde, &desc), SSDE_ERROR_ARGUMENT, "has no classes");
    CHECK(score_net == NULL);
    score_net = class_score_net(net, &context, 0.0, 2);
    CHECK_FAILS(&context, ssde_score_net_set_classes(score_net, wrong, 1, 0), SSDE_ERROR_ARGUMENT, "has none");
    ssde_score_net_destroy(score_net);
    ssde_net_destroy(net);
}

/* ---- training with classes ---- */

enum { CLASS_BATCH = 4 };

static ssde_trainer *class_trainer(ssde_net *net, ssde_context *context, double dropout) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = ssde_train_defaults(&sde, 0);
    ssde_trainer *trainer = NULL;
    desc.batch = CLASS_BATCH;
    desc.warmup = 0;
    desc.class_dropout = dropout;
    desc.seed = 3;
    desc.context = context;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    return trainer;
}

/* Trains two steps and destroys the trainer; the weights stay in net. */
static void class_train(ssde_net *net, ssde_context *context, const int32_t *classes, double dropout) {
    ssde_trainer *trainer = class_trainer(net, context, dropout);
    float x[CLASS_BATCH * CLASS_DIM];
    ssde_batch batch = ssde_batch_of(x, CLASS_BATCH);
    double loss = NAN;
    int step;
    oracle_normals(7, 1.0, CLASS_BATCH * CLASS_DIM, x);
    batch.classes = classes;
    for (step = 0; step < 2; step++) CHECK_OK(ssde_train_step(trainer, &batch, &loss));
    CHECK(loss > 0.0);
    ssde_trainer_destroy(trainer);
}

/* class_dropout 1 is training the null class; 0 leaves it as it was; between, the draws say which rows. */
static void test_nn_conditioning_training(void) {
    static const int32_t classes[CLASS_BATCH] = {0, 1, 2, 1}, null_classes[CLASS_BATCH] = {-1, -1, -1, -1};
    static const int32_t wrong[CLASS_BATCH] = {0, 1, 3, 1};
    ssde_context context;
    ssde_net *nets[4], *read = NULL;
    ssde_trainer *trainer, *other;
    ssde_batch batch;
    ssde_sde sde;
    size_t index, bytes;
    float table[2][4 * 16], x[CLASS_BATCH * CLASS_DIM];
    double loss, other_loss;
    int i, dropped;
    memset(&context, 0, sizeof context);
    memset(&batch, 0, sizeof batch);
    for (i = 0; i < 4; i++) nets[i] = conditioning_net(SSDE_NOISE_EMBEDDING, 3, 8);
    bytes = ssde_net_weight_count(nets[0]) * sizeof(float);
    conditioning_parameter(nets[0], "class_embedding.weight", &index);
    CHECK_OK(ssde_net_get(nets[0], index, table[0]));
    class_train(nets[0], &context, null_classes, 0.0);
    class_train(nets[1], &context, classes, 1.0);
    class_train(nets[2], &context, classes, 0.0);
    CHECK_SAME(nets[0]->weights, nets[1]->weights, bytes);
    CHECK(memcmp(nets[0]->weights, nets[2]->weights, bytes));
    CHECK_OK(ssde_net_get(nets[0], index, table[1]));
    CHECK_SAME(table[1], table[0], 3 * 16 * sizeof(float));
    CHECK(memcmp(table[1] + 3 * 16, table[0] + 3 * 16, 16 * sizeof(float)));
    CHECK_OK(ssde_net_get(nets[2], index, table[1]));
    CHECK_SAME(table[1] + 3 * 16, table[0] + 3 * 16, 16 * sizeof(float));
    for (i = 0; i < 3; i++) CHECK(memcmp(table[1] + i * 16, table[0] + i * 16, 16 * sizeof(float)));
    /* of 4000 draws a quarter, within five standard deviations */
    trainer = class_trainer(nets[3], &context, 0.25);
    for (dropped = 0, i = 0; i < 1000; i++) {
        int row;
        for (row = 0; row < CLASS_BATCH; row++) trainer->slot[row] = (uint64_t)row;
        memcpy(trainer->classes, classes, sizeof classes);
        ssdei_train_drop_classes(trainer, CLASS_BATCH, 3, (uint32_t)i);
        for (row = 0; row < CLASS_BATCH; row++) {
            CHECK(trainer->classes[row] == classes[row] || trainer->classes[row] == -1);
            dropped += trainer->classes[row] == -1;
        }
    }
    CHECK_NEAR(dropped, 1000.0, 5.0 * sqrt(4000.0 * 0.25 * 0.75));
    /* errors */
    oracle_normals(7, 1.0, CLASS_BATCH * CLASS_DIM, x);
    batch.x = x;
    batch.rows = CLASS_BATCH;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, NULL), SSDE_ERROR_ARGUMENT, "classes is NULL");
    batch.classes = wrong;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, NULL), SSDE_ERROR_ARGUMENT, "classes[2] is 3");
    batch.classes = classes;
    CHECK_OK(ssde_train_step(trainer, &batch, NULL));
    /* evaluation: by default of the null class */
    batch.classes = null_classes;
    CHECK_OK(ssde_trainer_evaluate(trainer, &batch, 1, &loss, NULL));
    batch.classes = NULL;
    CHECK_OK(ssde_trainer_evaluate(trainer, &batch, 1, &other_loss, NULL));
    CHECK(loss == other_loss);
    batch.classes = classes;
    CHECK_OK(ssde_trainer_evaluate(trainer, &batch, 1, &other_loss, NULL));
    CHECK(fabs(loss - other_loss) > 1e-6 * loss);
    batch.classes = wrong;
    CHECK_FAILS(&context, ssde_trainer_evaluate(trainer, &batch, 1, &loss, NULL), SSDE_ERROR_ARGUMENT,
                "classes[2] is 3");
    /* files: a checkpoint knows its class_dropout, a model its classes */
    CHECK_OK(ssde_trainer_save(trainer, CONDITIONING_PATH));
    CHECK_OK(ssde_trainer_load(trainer, CONDITIONING_PATH));
    other = class_trainer(nets[2], &context, 0.0);
    CHECK_FAILS(&context, ssde_trainer_load(other, CONDITIONING_PATH), SSDE_ERROR_FORMAT, "training.class_dropout");
    CHECK_OK(ssde_trainer_save(other, CONDITIONING_PATH));
    CHECK_FAILS(&context, ssde_trainer_load(trainer, CONDITIONING_PATH), SSDE_ERROR_FORMAT, "training.class_dropout");
    CHECK_OK(ssde_trainer_save_model(trainer, CONDITIONING_PATH));
    CHECK_OK(ssde_net_load(&context, &read, &sde, CONDITIONING_PATH));
    CHECK(ssde_net_classes(read) == 3 && ssde_net_parameter_count(read) == ssde_net_parameter_count(nets[0]));
    CHECK_SAME(read->weights, ssde_trainer_ema(trainer)->weights, bytes);
    ssde_net_destroy(read);
    ssde_trainer_destroy(other);
    ssde_trainer_destroy(trainer);
    for (i = 0; i < 4; i++) ssde_net_destroy(nets[i]);
    remove(CONDITIONING_PATH);
}

/* Files of every way come back as they were. */
static void test_nn_conditioning_files(void) {
    ssde_context context;
    int noise;
    memset(&context, 0, sizeof context);
    for (noise = SSDE_NOISE_EMBEDDING; noise <= SSDE_NOISE_SCALE_SHIFT; noise++) {
        ssde_net *net = conditioning_net((ssde_noise_conditioning)noise, 5, 9), *read = NULL;
        CHECK_OK(ssde_net_save(net, NULL, CONDITIONING_PATH));
        CHECK_OK(ssde_net_load(&context, &read, NULL, CONDITIONING_PATH));
        if (read) {
            CHECK(!strcmp(net->description, read->description) && ssde_net_classes(read) == 5);
            CHECK(net->node_count == read->node_count);
            CHECK_SAME(net->weights, read->weights, ssde_net_weight_count(net) * sizeof(float));
        }
        ssde_net_destroy(read);
        ssde_net_destroy(net);
    }
    remove(CONDITIONING_PATH);
}

/* ---- discrete labels ---- */

/* A network trained on indices says so: its trainer, its file, and the score model of what was read. */
static void test_nn_discrete_models(void) {
    ssde_context context;
    ssde_unet_desc shape = conditioning_unet(SSDE_NOISE_EMBEDDING, 0);
    ssde_net *net = NULL, *read = NULL;
    ssde_sde sde = ssde_ve(0.01, 20.0), sde_read;
    ssde_train_desc desc;
    ssde_trainer *trainer = NULL;
    ssde_score_net_desc how;
    ssde_score_net *score_nets[2] = {NULL, NULL};
    ssde_score_model models[2];
    class_data data;
    float out[2][CLASS_ROWS * CLASS_DIM], label, sigma;
    double std;
    int i;
    memset(&context, 0, sizeof context);
    memset(&how, 0, sizeof how);
    class_data_fill(&data);
    sde.num_scales = 37;
    desc = ssde_train_defaults(&sde, 0);
    desc.loss.discrete = 1;
    desc.batch = CLASS_ROWS;
    desc.context = &context;
    shape.embedding_type = SSDE_EMBEDDING_POSITIONAL;
    CHECK_OK(ssde_unet_create(&net, &shape));
    CHECK(!ssde_net_discrete(net) && !ssde_net_discrete(NULL));
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK(ssde_net_discrete(net) && ssde_net_discrete(ssde_trainer_ema(trainer)));
    CHECK_OK(ssde_trainer_save_model(trainer, CONDITIONING_PATH));
    CHECK_OK(ssde_net_load(&context, &read, &sde_read, CONDITIONING_PATH));
    CHECK(ssde_net_discrete(read) && sde_read.num_scales == 37 && sde_read.kind == SSDE_VE);
    CHECK_OK(ssde_net_save(read, &sde_read, CONDITIONING_PATH));
    ssde_net_destroy(read);
    CHECK_OK(ssde_net_load(&context, &read, &sde_read, CONDITIONING_PATH));
    CHECK(ssde_net_discrete(read));
    CHECK_OK(ssde_net_save(read, NULL, CONDITIONING_PATH));
    ssde_net_destroy(read);
    CHECK_OK(ssde_net_load(&context, &read, NULL, CONDITIONING_PATH));
    CHECK(ssde_net_discrete(read));
    ssde_trainer_destroy(trainer);
    /* what training told the network at i / (N - 1) is what the score model tells it there */
    for (i = 0; i < sde.num_scales; i++) {
        CHECK_OK(ssde_score_net_label_discrete(&context, &sde, (double)i / (sde.num_scales - 1), &label, &sigma));
        CHECK_OK(ssde_discrete_marginal(&context, &sde, i, NULL, &std, NULL));
        CHECK(label == (float)(sde.num_scales - 1 - i) && sigma == (float)std);
        sde_read = ssde_vp(0.1, 20.0);
        CHECK_OK(ssde_score_net_label_discrete(&context, &sde_read, (double)i / 999.0, &label, &sigma));
        CHECK_OK(ssde_discrete_marginal(&context, &sde_read, i, NULL, &std, NULL));
        CHECK_NEAR(label, i, 1e-6 * i);
        CHECK(sigma == (float)std);
    }
    net->discrete = 0;
    how.discrete = 1;
    CHECK_OK(ssde_score_net_create(&score_nets[0], read, &sde, NULL));
    CHECK_OK(ssde_score_net_create(&score_nets[1], net, &sde, &how));
    for (i = 0; i < 2; i++) {
        models[i] = ssde_score_net_model(score_nets[i]);
        CHECK_OK(models[i].score(models[i].user, data.x, data.t, NULL, CLASS_ROWS, 0, out[i]));
        ssde_score_net_destroy(score_nets[i]);
    }
    CHECK_SAME(out[0], out[1], sizeof out[0]);
    CHECK_OK(ssde_score_net_create(&score_nets[0], net, &sde, NULL));
    models[0] = ssde_score_net_model(score_nets[0]);
    CHECK_OK(models[0].score(models[0].user, data.x, data.t, NULL, CLASS_ROWS, 0, out[0]));
    CHECK(check_distance(out[0], out[1], CLASS_ROWS * CLASS_DIM) > 1e-2);
    ssde_score_net_destroy(score_nets[0]);
    sde = ssde_affine(nn_affine_drift, nn_affine_diffusion, NULL);
    CHECK_STATUS(ssde_score_net_create(&score_nets[0], read, &sde, NULL), SSDE_ERROR_UNSUPPORTED);
    CHECK_STATUS(ssde_score_net_label_discrete(NULL, &sde, 0.5, &label, &sigma), SSDE_ERROR_UNSUPPORTED);
    sde = ssde_vp(0.1, 20.0);
    CHECK_STATUS(ssde_score_net_label_discrete(NULL, &sde, 1.5, &label, &sigma), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_score_net_label_discrete(NULL, &sde, NAN, &label, &sigma), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_score_net_label_discrete(NULL, &sde, 0.5, NULL, &sigma), SSDE_ERROR_ARGUMENT);
    ssde_net_destroy(read);
    ssde_net_destroy(net);
    remove(CONDITIONING_PATH);
}

/* Label 0, the highest noise of VE and the lowest of VP, has no logarithm. */
static void test_nn_discrete_logarithms(void) {
    const ssde_sde sdes[2] = {ssde_ve(0.01, 20.0), ssde_vp(0.1, 20.0)};
    int noise, which, classifies;
    for (noise = SSDE_NOISE_EMBEDDING; noise <= SSDE_NOISE_SCALE_SHIFT; noise++)
        for (which = 0; which < 4; which++) {
            ssde_context context;
            ssde_unet_desc body = conditioning_unet((ssde_noise_conditioning)noise, 0);
            ssde_classifier_desc classifies_desc;
            ssde_train_desc train = ssde_train_defaults(&sdes[which % 2], 0);
            ssde_score_net_desc how;
            ssde_net *net = NULL;
            ssde_trainer *trainer = NULL;
            ssde_score_net *score_net = NULL;
            ssde_classifier *classifier = NULL;
            memset(&context, 0, sizeof context);
            memset(&how, 0, sizeof how);
            classifies = which / 2;
            how.context = train.context = body.context = &context;
            body.embedding_type = SSDE_EMBEDDING_FOURIER;
            classifies_desc = ssde_classifier_of(&body, 3);
            if (classifies)
                CHECK_OK(ssde_classifier_net_create(&net, &classifies_desc));
            else
                CHECK_OK(ssde_unet_create(&net, &body));
            how.discrete = train.loss.discrete = 1;
            train.classifier = classifies;
            train.batch = 1;
            CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sdes[which % 2], &train), SSDE_ERROR_ARGUMENT,
                        "logarithm");
            if (classifies)
                CHECK_FAILS(&context, ssde_classifier_create(&classifier, net, &sdes[which % 2], &how),
                            SSDE_ERROR_ARGUMENT, "logarithm");
            else
                CHECK_FAILS(&context, ssde_score_net_create(&score_net, net, &sdes[which % 2], &how),
                            SSDE_ERROR_ARGUMENT, "logarithm");
            CHECK(!trainer && !score_net && !classifier && !ssde_net_discrete(net));
            train.loss.discrete = 0;
            CHECK_OK(ssde_trainer_create(&trainer, net, &sdes[which % 2], &train));
            ssde_trainer_destroy(trainer);
            ssde_net_destroy(net);
        }
}

/* ---- the classifier ---- */

/* Values and derivatives by their definition in double; logits of any size. */
static void test_nn_cross_entropy(void) {
    static const float logits[3 * 4] = {0.5f, -1.0f,   2.0f,  0.25f, 1e4f,  -1e4f,
                                        0.0f, 9999.0f, -3.0f, -3.0f, -3.0f, -3.0f};
    static const int32_t classes[3] = {2, 3, 0}, wrong[3] = {0, 4, 0}, negative[3] = {0, 0, -1};
    float gradient[3 * 4], same[3 * 4], infinite[4] = {0.0f, 1.0f, INFINITY, 0.0f};
    double losses[3];
    ssde_context context;
    int row, c, k;
    memset(&context, 0, sizeof context);
    CHECK_OK(ssde_cross_entropy(&context, logits, classes, 3, 4, 0.7, losses, gradient));
    for (row = 0; row < 3; row++) {
        double sum = 0.0, own = (double)logits[row * 4 + classes[row]];
        for (k = 0; k < 4; k++) sum += exp((double)logits[row * 4 + k] - own);
        CHECK_NEAR(losses[row], log(sum), 1e-12 * (1.0 + log(sum)));
        for (c = 0; c < 4; c++) {
            double p = exp((double)logits[row * 4 + c] - own) / sum;
            CHECK_NEAR(gradient[row * 4 + c], 0.7 * (p - (c == classes[row] ? 1.0 : 0.0)), 1e-7);
        }
    }
    memcpy(same, logits, sizeof same);
    CHECK_OK(ssde_cross_entropy(&context, same, classes, 3, 4, 0.7, losses, same));
    CHECK_SAME(same, gradient, sizeof same);
    CHECK_OK(ssde_cross_entropy(&context, logits, classes, 3, 4, 0.7, losses, NULL));
    CHECK_FAILS(&context, ssde_cross_entropy(&context, logits, wrong, 3, 4, 1.0, losses, NULL), SSDE_ERROR_ARGUMENT,
                "class_of[1] is 4, wanted 0 to 3");
    CHECK_FAILS(&context, ssde_cross_entropy(&context, logits, negative, 3, 4, 1.0, losses, NULL), SSDE_ERROR_ARGUMENT,
                "class_of[2] is -1");
    CHECK_FAILS(&context, ssde_cross_entropy(&context, infinite, classes, 1, 4, 1.0, losses, NULL), SSDE_ERROR_NUMERIC,
                "row 0, logit 2");
    CHECK_STATUS(ssde_cross_entropy(NULL, NULL, classes, 3, 4, 1.0, losses, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_cross_entropy(NULL, logits, NULL, 3, 4, 1.0, losses, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_cross_entropy(NULL, logits, classes, 3, 4, 1.0, NULL, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_cross_entropy(NULL, logits, classes, 0, 4, 1.0, losses, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_cross_entropy(NULL, logits, classes, 3, 1, 1.0, losses, NULL), SSDE_ERROR_ARGUMENT);
}

enum { CLASSIFIER_ROWS = 3, CLASSIFIER_CLASSES = 4 };

static ssde_net *classifier_net(size_t height, size_t width, size_t channels, size_t classes) {
    ssde_unet_desc body = ssde_ncsnpp(height, width, channels);
    ssde_classifier_desc desc;
    ssde_net *net = NULL;
    body.nf = 8;
    body.num_res_blocks = 1;
    body.num_levels = 2;
    body.attn_resolutions[0] = 2;
    body.dropout = 0.0;
    desc = ssde_classifier_of(&body, classes);
    CHECK_OK(ssde_classifier_net_create(&net, &desc));
    return net;
}

/* log softmax of the oracle's logits at the class */
static double classifier_exact(oracle *o, const double *x, float label, float sigma, int32_t c) {
    const double *logits = oracle_forward(o, x, (double)label, (double)sigma);
    double sum = 0.0;
    int k;
    for (k = 0; k < CLASSIFIER_CLASSES; k++) sum += exp(logits[k] - logits[c]);
    return -log(sum);
}

/* Log-probabilities against the oracle, gradients against its differences, rows in any company. */
static void classifier_case(ssde_context *context) {
    static const int32_t classes[CLASSIFIER_ROWS] = {3, 0, 2};
    static const double t[CLASSIFIER_ROWS] = {0.3, 0.3, 0.8};
    static const uint64_t sample[CLASSIFIER_ROWS] = {6, 5, 7}; /* classes 0, 3, 2 */
    enum { DIM = 4 * 4 * 2 };
    ssde_net *net = classifier_net(4, 4, 2, CLASSIFIER_CLASSES);
    ssde_sde sde = ssde_ve(0.01, 20.0);
    ssde_score_net_desc desc;
    ssde_classifier *classifier = NULL;
    oracle o;
    float x[CLASSIFIER_ROWS * DIM], gradient[CLASSIFIER_ROWS * DIM], again[CLASSIFIER_ROWS * DIM];
    float log_probability[CLASSIFIER_ROWS * CLASSIFIER_CLASSES];
    size_t row, i;
    int32_t k;
    CHECK(ssde_net_output_dim(net) == CLASSIFIER_CLASSES && ssde_net_dim(net) == DIM && ssde_net_classes(net) == 0);
    oracle_from_net(&o, net);
    oracle_random_weights(&o, 3);
    memset(&desc, 0, sizeof desc);
    desc.context = context;
    desc.max_rows = 2;
    oracle_normals(5, 1.0, CLASSIFIER_ROWS * DIM, x);
    CHECK_OK(ssde_classifier_create(&classifier, net, &sde, &desc));
    CHECK_FAILS(context, ssde_classifier_gradient(classifier, x, t, NULL, 1, gradient), SSDE_ERROR_ARGUMENT,
                "ssde_classifier_set_classes");
    CHECK_OK(ssde_classifier_set_classes(classifier, classes, CLASSIFIER_ROWS, 5));
    CHECK_OK(ssde_classifier_log_probability(classifier, x, t, CLASSIFIER_ROWS, log_probability));
    CHECK_OK(ssde_classifier_gradient(classifier, x, t, sample, CLASSIFIER_ROWS, gradient));
    for (row = 0; row < CLASSIFIER_ROWS; row++) {
        double at[DIM], direction[DIM], slope = 0.0, difference = 0.0, norm = nn_norm(gradient + row * DIM, DIM);
        uint64_t state = 5 + row;
        float label, sigma;
        int side;
        CHECK_OK(ssde_score_net_label(context, &sde, t[row], &label, &sigma));
        for (i = 0; i < DIM; i++) {
            at[i] = (double)x[row * DIM + i];
            direction[i] = oracle_normal(&state);
            slope += direction[i] * (double)gradient[row * DIM + i];
        }
        for (k = 0; k < CLASSIFIER_CLASSES; k++)
            CHECK_NEAR(log_probability[row * CLASSIFIER_CLASSES + (size_t)k], classifier_exact(&o, at, label, sigma, k),
                       2e-5);
        for (side = -1; side <= 1; side += 2) {
            for (i = 0; i < DIM; i++) at[i] = (double)x[row * DIM + i] + 1e-5 * side * direction[i];
            difference += side * classifier_exact(&o, at, label, sigma, classes[sample[row] - 5]) / 2e-5;
        }
        CHECK_NEAR(slope, difference, 5e-5 * norm * sqrt((double)DIM));
        CHECK_OK(ssde_classifier_gradient(classifier, x + row * DIM, t + row, sample + row, 1, again));
        CHECK_SAME(again, gradient + row * DIM, DIM * sizeof *again);
    }
    {
        static const int32_t wrong[2] = {0, 4}, null_class[1] = {-1};
        static const uint64_t unknown[1] = {8};
        CHECK_FAILS(context, ssde_classifier_set_classes(classifier, wrong, 2, 0), SSDE_ERROR_ARGUMENT,
                    "classes[1] is 4");
        CHECK_FAILS(context, ssde_classifier_set_classes(classifier, null_class, 1, 0), SSDE_ERROR_ARGUMENT, "is -1");
        CHECK_FAILS(context, ssde_classifier_gradient(classifier, x, t, unknown, 1, again), SSDE_ERROR_ARGUMENT,
                    "sample 8 has no class");
        CHECK_STATUS(ssde_classifier_gradient(NULL, x, t, NULL, 1, again), SSDE_ERROR_ARGUMENT);
        CHECK_STATUS(ssde_classifier_gradient(classifier, NULL, t, NULL, 1, again), SSDE_ERROR_ARGUMENT);
        CHECK_STATUS(ssde_classifier_gradient(classifier, x, NULL, NULL, 1, again), SSDE_ERROR_ARGUMENT);
        CHECK_STATUS(ssde_classifier_gradient(classifier, x, t, NULL, 1, NULL), SSDE_ERROR_ARGUMENT);
        CHECK_STATUS(ssde_classifier_log_probability(classifier, x, t, 1, NULL), SSDE_ERROR_ARGUMENT);
        x[2 * DIM] = (float)NAN; /* the first row of the second pass */
        CHECK_FAILS(context, ssde_classifier_log_probability(classifier, x, t, CLASSIFIER_ROWS, log_probability),
                    SSDE_ERROR_NUMERIC, "row 2");
        CHECK_STATUS(ssde_classifier_set_classes(NULL, classes, 1, 0), SSDE_ERROR_ARGUMENT);
    }
    ssde_classifier_destroy(classifier);
    ssde_classifier_destroy(NULL);
    oracle_close(&o);
}

static void test_nn_classifier(void) {
    ssde_context context;
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc train = ssde_train_defaults(&sde, 0);
    ssde_unet_desc body = conditioning_unet(SSDE_NOISE_EMBEDDING, 0);
    ssde_classifier_desc desc;
    ssde_classifier *classifier = NULL;
    ssde_score_net *score_net = NULL;
    ssde_trainer *trainer = NULL;
    ssde_net *net, *unet;
    int tier;
    for (tier = 0; nn_tier(tier, &context); tier++) classifier_case(&context);
    memset(&context, 0, sizeof context);
    net = classifier_net(4, 4, 2, 3);
    unet = conditioning_net(SSDE_NOISE_EMBEDDING, 3, 1);
    CHECK_STATUS(ssde_score_net_create(&score_net, net, &sde, NULL), SSDE_ERROR_SHAPE);
    CHECK_STATUS(ssde_classifier_create(&classifier, unet, &sde, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_classifier_create(&classifier, NULL, &sde, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_classifier_create(&classifier, net, NULL, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_classifier_create(NULL, net, &sde, NULL), SSDE_ERROR_ARGUMENT);
    CHECK(classifier == NULL);
    train.context = &context;
    CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sde, &train), SSDE_ERROR_SHAPE, "no score");
    train.classifier = 1;
    CHECK_FAILS(&context, ssde_trainer_create(&trainer, unet, &sde, &train), SSDE_ERROR_ARGUMENT, "desc.classifier");
    train.class_dropout = 0.5;
    CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sde, &train), SSDE_ERROR_ARGUMENT, "class_dropout");
    train.class_dropout = 1.5;
    CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sde, &train), SSDE_ERROR_ARGUMENT,
                "class_dropout is 1.5");
    CHECK(trainer == NULL);
    ssde_net_destroy(net);
    ssde_net_destroy(unet);
    body.context = &context;
    desc = ssde_classifier_of(&body, 1);
    CHECK_FAILS(&context, ssde_classifier_net_create(&net, &desc), SSDE_ERROR_ARGUMENT, "classes is 1");
    desc = ssde_classifier_of(&body, 3);
    desc.body.classes = 2;
    CHECK_FAILS(&context, ssde_classifier_net_create(&net, &desc), SSDE_ERROR_ARGUMENT, "body.classes is 2");
    desc = ssde_classifier_of(&body, 3);
    desc.body.nf = 3;
    CHECK_FAILS(&context, ssde_classifier_net_create(&net, &desc), SSDE_ERROR_ARGUMENT, "nf is 3");
    CHECK(net == NULL);
    CHECK_STATUS(ssde_classifier_net_create(&net, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_classifier_net_create(NULL, &desc), SSDE_ERROR_ARGUMENT);
}

/* Two classes of 4 x 4 images, +-mu 0.5 wide, under VP: p_t(class 1 | x) = 1 / (1 + exp(-l)), l = 2 m mu . x / v, v =
   m^2 / 4 + std^2. Training reaches that and, on average over x, its gradient p (1 - p) 2 m mu / v:
   of p, since where p is small the cross-entropy hardly knows log p. */
static void test_nn_classifier_posterior(void) {
    static const int32_t ones[1] = {1};
    enum { DIM = 16, BATCH = 32, STEPS = 600, POINTS = 400 };
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = ssde_train_defaults(&sde, 0);
    ssde_net *net = classifier_net(4, 4, 1, 2), *read = NULL;
    ssde_trainer *trainer = NULL;
    ssde_classifier *classifier = NULL;
    ssde_batch batch;
    float x[BATCH * DIM];
    double mu[DIM], mean[DIM] = {0.0}, error = 0.0, along = 0.0, exact_along = 0.0, square = 0.0, loss;
    int32_t classes[BATCH];
    uint64_t state = 1;
    int step, steps = check_quick ? 100 : STEPS, i, j;
    for (j = 0; j < DIM; j++) mu[j] = j % 4 < 2 ? 0.25 : -0.25;
    desc.batch = BATCH;
    desc.lr = 5e-3;
    desc.warmup = 0;
    desc.ema_rate = 0.98;
    desc.classifier = 1;
    memset(&batch, 0, sizeof batch);
    batch.x = x;
    batch.rows = BATCH;
    batch.classes = classes;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    for (step = 0; step < steps; step++) {
        for (i = 0; i < BATCH; i++) {
            classes[i] = oracle_uniform(&state) < 0.5;
            for (j = 0; j < DIM; j++)
                x[i * DIM + j] = (float)((classes[i] ? mu[j] : -mu[j]) + 0.5 * oracle_normal(&state));
        }
        CHECK_OK(ssde_train_step(trainer, &batch, &loss));
    }
    classes[5] = -1;
    CHECK_STATUS(ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT);
    batch.classes = NULL;
    CHECK_STATUS(ssde_trainer_evaluate(trainer, &batch, 1, &loss, NULL), SSDE_ERROR_ARGUMENT);
    batch.classes = classes;
    classes[5] = 0;
    CHECK_OK(ssde_trainer_evaluate(trainer, &batch, 1, &loss, NULL));
    CHECK(loss > 0.0 && loss < log(2.0));
    CHECK_OK(ssde_trainer_save_model(trainer, CONDITIONING_PATH));
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
    CHECK_OK(ssde_net_load(NULL, &read, &sde, CONDITIONING_PATH));
    CHECK(read && ssde_net_output_dim(read) == 2);
    CHECK_OK(ssde_classifier_create(&classifier, read, &sde, NULL));
    CHECK_OK(ssde_classifier_set_classes(classifier, ones, 1, 0));
    for (i = 0; i < POINTS; i++) {
        const double t = 0.1 + 0.2 * (i % 4);
        float point[DIM], log_probability[2], gradient[DIM];
        double variance, side = oracle_uniform(&state) < 0.5 ? 1.0 : -1.0, logit = 0.0, p;
        ssde_coefficients at;
        CHECK_OK(ssde_coefficients_at(NULL, &sde, t, &at));
        variance = at.mean * at.mean * 0.25 + at.std * at.std;
        for (j = 0; j < DIM; j++) {
            point[j] = (float)(side * at.mean * mu[j] + sqrt(variance) * oracle_normal(&state));
            logit += 2.0 * at.mean * mu[j] * (double)point[j] / variance;
        }
        p = 1.0 / (1.0 + exp(-logit));
        CHECK_OK(ssde_classifier_log_probability(classifier, point, &t, 1, log_probability));
        CHECK_NEAR(exp((double)log_probability[0]) + exp((double)log_probability[1]), 1.0, 1e-6);
        CHECK_OK(ssde_classifier_gradient(classifier, point, &t, NULL, 1, gradient));
        error += pow(exp((double)log_probability[1]) - p, 2.0) / (double)POINTS;
        for (j = 0; j < DIM; j++) {
            double exact = p * (1.0 - p) * 2.0 * at.mean * mu[j] / variance, found = p * (double)gradient[j];
            along += found * mu[j] / (double)POINTS;
            exact_along += exact * mu[j] / (double)POINTS;
            mean[j] += found / (double)POINTS;
        }
    }
    for (j = 0; j < DIM; j++) square += mean[j] * mean[j];
    /* a guess errs by 0.34; these are what that much training leaves, with a margin. |mu| = 1 */
    CHECK_NEAR(sqrt(error), 0.0, check_quick ? 0.25 : 0.1);
    CHECK_RELATIVE(along, exact_along, check_quick ? 0.5 : 0.25);
    CHECK(along > (check_quick ? 0.9 : 0.95) * sqrt(square));
    ssde_classifier_destroy(classifier);
    ssde_net_destroy(read);
    remove(CONDITIONING_PATH);
}

/* Everything here that allocates, in one context. */
static ssde_status class_everything(ssde_context *context) {
    static const int32_t classes[2] = {1, 0};
    ssde_unet_desc body = conditioning_unet(SSDE_NOISE_SCALE_SHIFT, 0),
                   shape = conditioning_unet(SSDE_NOISE_CHANNEL, 2);
    ssde_classifier_desc desc;
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_net_desc how;
    ssde_net *net = NULL, *read = NULL, *unet = NULL;
    ssde_classifier *classifier = NULL;
    ssde_score_net *score_net = NULL;
    ssde_status status;
    body.context = shape.context = context;
    desc = ssde_classifier_of(&body, 2);
    memset(&how, 0, sizeof how);
    how.max_rows = 2;
    how.guidance = 1.0;
    how.context = context;
    status = ssde_classifier_net_create(&net, &desc);
    CHECK((status == SSDE_OK) == (net != NULL));
    if (status == SSDE_OK) status = ssde_net_save(net, &sde, CONDITIONING_PATH);
    if (status == SSDE_OK) status = ssde_net_load(context, &read, &sde, CONDITIONING_PATH);
    if (status == SSDE_OK) status = ssde_classifier_create(&classifier, read, &sde, &how);
    CHECK((status == SSDE_OK) == (classifier != NULL));
    if (status == SSDE_OK) status = ssde_classifier_set_classes(classifier, classes, 2, 0);
    if (status == SSDE_OK) status = ssde_unet_create(&unet, &shape);
    if (status == SSDE_OK) status = ssde_score_net_create(&score_net, unet, &sde, &how);
    CHECK((status == SSDE_OK) == (score_net != NULL));
    if (status == SSDE_OK) status = ssde_score_net_set_classes(score_net, classes, 2, 0);
    if (status == SSDE_OK) status = ssde_score_net_set_classes(score_net, classes, 1, 0);
    ssde_score_net_destroy(score_net);
    ssde_classifier_destroy(classifier);
    ssde_net_destroy(unet);
    ssde_net_destroy(read);
    ssde_net_destroy(net);
    return status;
}

static void test_nn_conditioning_allocation(void) {
    nn_memory memory;
    ssde_context context = nn_counting(&memory);
    long needed, n;
    CHECK_OK(class_everything(&context));
    needed = memory.made;
    CHECK(needed > 20 && memory.live == 0);
    for (n = 0; n < needed; n += check_quick ? 5 : 1) {
        context = nn_counting(&memory);
        memory.refuse = n;
        CHECK_FAILS(&context, class_everything(&context), SSDE_ERROR_MEMORY, "allocate");
        CHECK(memory.live == 0);
    }
    remove(CONDITIONING_PATH);
}

#define TEST_NN_CONDITIONING_LIST(X) \
    X(nn_conditioning_ways)          \
    X(nn_conditioning_classes)       \
    X(nn_conditioning_guidance)      \
    X(nn_conditioning_training)      \
    X(nn_conditioning_files)         \
    X(nn_discrete_models)            \
    X(nn_discrete_logarithms)        \
    X(nn_cross_entropy)              \
    X(nn_classifier)                 \
    X(nn_classifier_posterior)       \
    X(nn_conditioning_allocation)

#endif
