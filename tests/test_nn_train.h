/* Training: losses, Adam, averages, checkpoints, what bad data does. */
#ifndef TEST_NN_TRAIN_H
#define TEST_NN_TRAIN_H

#include <locale.h>

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_nn.h"
#include "nn_oracle.h"
#include "threads.h"

/* ---- train: training with classes ---- */

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
static void test_train_classes(void) {
    static const int32_t classes[CLASS_BATCH] = {0, 1, 2, 1}, null_classes[CLASS_BATCH] = {-1, -1, -1, -1};
    static const int32_t wrong[CLASS_BATCH] = {0, 1, 3, 1};
    ssde_context context = ssde_context_defaults();
    ssde_net *nets[4], *read = NULL;
    ssde_trainer *trainer, *other;
    ssde_sde sde;
    size_t index, bytes;
    float table[2][4 * 16], x[CLASS_BATCH * CLASS_DIM];
    ssde_batch batch;
    double loss, other_loss;
    int i, dropped;
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
    batch = ssde_batch_of(x, CLASS_BATCH);
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

/* ---- train ---- */

/* ssde_train_step, and the gradients that it takes, of at most TRAIN_MOST weights. */
enum { TRAIN_MOST = 400 };
static void train_step(ssde_trainer *trainer, const ssde_batch *batch, double *loss, float gradients[TRAIN_MOST]) {
    CHECK(trainer->net->weight_count <= TRAIN_MOST);
    if (trainer->net->weight_count > TRAIN_MOST) return;
    CHECK_OK(ssdei_train_gradients(trainer, batch, loss));
    memcpy(gradients, trainer->gradients, trainer->net->weight_count * sizeof *gradients);
    CHECK_OK(ssdei_train_update(trainer));
}

/* Adam, clipping and EMA in double, from the gradients that the step computed. */
static void test_train_adam(void) {
    enum { STEPS = 12 };
    static double weight[TRAIN_MOST], first[TRAIN_MOST], second[TRAIN_MOST], average[TRAIN_MOST];
    float gradients[TRAIN_MOST];
    double clips[3] = {0.05, 0.0, -1.0}; /* clips always, never, never */
    ssde_sde sde = ssde_vp(0.1, 20.0);
    int c, step;
    for (c = 0; c < 3; c++) {
        ssde_net *net = files_mlp(NULL, 2, 8, 1, 3);
        ssde_train_desc desc = files_train_desc(NULL, &sde);
        ssde_batch batch = files_batch();
        ssde_trainer *trainer;
        size_t i;
        desc.grad_clip = clips[c];
        desc.weight_decay = 0.01;
        desc.warmup = c ? 0 : 5;
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
        if (!trainer) return;
        for (i = 0; i < net->weight_count; i++) {
            weight[i] = average[i] = (double)net->weights[i];
            first[i] = second[i] = 0.0;
        }
        for (step = 0; step < STEPS; step++) {
            double norm = 0.0, clip, lr = desc.lr, n = step + 1.0, decay = (1.0 + n) / (10.0 + n), loss = -1.0;
            train_step(trainer, &batch, &loss, gradients);
            CHECK(loss > 0.0 && ssde_trainer_step_count(trainer) == (uint64_t)step + 1);
            if (desc.warmup && step < desc.warmup) lr *= (double)step / desc.warmup;
            if (decay > desc.ema_rate) decay = desc.ema_rate;
            for (i = 0; i < net->weight_count; i++) norm += (double)gradients[i] * (double)gradients[i];
            norm = sqrt(norm);
            clip = desc.grad_clip / (norm + 1e-6);
            CHECK(norm > 0.1);
            if (clip <= 0.0 || clip > 1.0) clip = 1.0;
            for (i = 0; i < net->weight_count; i++) {
                double g = (double)gradients[i] * clip + desc.weight_decay * weight[i];
                first[i] = 0.9 * first[i] + 0.1 * g;
                second[i] = 0.999 * second[i] + 0.001 * g * g;
                weight[i] -= lr * (first[i] / (1.0 - pow(0.9, n))) / (sqrt(second[i] / (1.0 - pow(0.999, n))) + 1e-8);
                average[i] = decay * average[i] + (1.0 - decay) * weight[i];
                /* float's rounding in each step, amplified where the gradient nearly cancels */
                CHECK_NEAR(net->weights[i], weight[i], 2e-5);
                CHECK_NEAR(ssde_trainer_ema(trainer)->weights[i], average[i], 2e-5);
            }
        }
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(net);
    }
}

/* Adam on gradients of one sign: the first update is lr exactly, whatever their size. */
static void test_train_first_steps(void) {
    ssde_sde sde = ssde_subvp(0.1, 20.0);
    ssde_net *net = files_mlp(NULL, 2, 8, 1, 3);
    ssde_train_desc desc = files_train_desc(NULL, &sde);
    ssde_batch batch = files_batch();
    ssde_trainer *trainer;
    float *before = (float *)malloc(net->weight_count * sizeof *before), gradients[TRAIN_MOST];
    double loss;
    size_t i;
    memcpy(before, net->weights, net->weight_count * sizeof *before);
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK_OK(ssde_train_step(trainer, &batch, NULL)); /* warm-up begins at learning rate 0 */
    CHECK_SAME(before, net->weights, net->weight_count * sizeof *before);
    CHECK_SAME(before, ssde_trainer_ema(trainer)->weights, net->weight_count * sizeof *before);
    ssde_trainer_destroy(trainer);
    desc.warmup = 0;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    train_step(trainer, &batch, &loss, gradients);
    for (i = 0; i < net->weight_count; i++) {
        double g = (double)gradients[i], moved = (double)before[i] - (double)net->weights[i];
        if (fabs(g) > 1e-3) CHECK_NEAR(moved, g > 0.0 ? desc.lr : -desc.lr, 1e-6);
        /* n = 1: decay 2 / 11 */
        CHECK_NEAR(ssde_trainer_ema(trainer)->weights[i], (double)before[i] - 9.0 / 11.0 * moved, 1e-6);
    }
    /* a learning rate set to 0 stops the weights, one that is none is refused */
    memcpy(before, net->weights, net->weight_count * sizeof *before);
    CHECK_OK(ssde_trainer_set_lr(trainer, 0.0));
    CHECK_OK(ssde_train_step(trainer, &batch, NULL));
    CHECK_SAME(before, net->weights, net->weight_count * sizeof *before);
    CHECK_STATUS(ssde_trainer_set_lr(trainer, (double)NAN), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_set_lr(trainer, -1.0), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_set_lr(NULL, 1.0), SSDE_ERROR_ARGUMENT);
    CHECK_OK(ssde_trainer_set_lr(trainer, 1e-2));
    CHECK_OK(ssde_train_step(trainer, &batch, NULL));
    CHECK(memcmp(before, net->weights, net->weight_count * sizeof *before) != 0);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
    free(before);
}

/* The gradient is that of the loss reported, for every kind of loss: differences at fixed draws (step set back). */
static void test_train_gradient(void) {
    int kind;
    for (kind = 0; kind < 21; kind++) {
        int objective = kind / 7, way = kind % 7;
        ssde_sde sde = way % 3 == 0 ? ssde_ve(0.1, 3.0) : way % 3 == 1 ? ssde_vp(0.1, 20.0) : ssde_subvp(0.1, 20.0);
        ssde_train_desc desc = files_train_desc(NULL, &sde);
        ssde_net *net = files_mlp(NULL, 2, 8, 1, 3);
        ssde_batch batch = files_batch();
        ssde_trainer *trainer;
        double loss, up, down;
        float gradients[TRAIN_MOST];
        size_t i;
        batch.rows = 7;
        desc.lr = 0.0;
        desc.objective = (ssde_objective)objective;
        desc.probes = 3;
        desc.loss.discrete = way >= 3 && way < 6;
        desc.loss.weighting = way == 6 ? SSDE_WEIGHT_LIKELIHOOD : SSDE_WEIGHT_STD2;
        desc.loss.times = way == 6 ? SSDE_TIMES_IMPORTANCE : SSDE_TIMES_UNIFORM;
        sde.num_scales = 50;
        if (way == 6) sde = ssde_vp(0.1, 20.0);
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
        if (!trainer) return;
        train_step(trainer, &batch, &loss, gradients);
        for (i = 0; i < net->weight_count; i += 17) {
            float kept = net->weights[i], h = 1e-2f;
            double gradient = (double)gradients[i], difference;
            trainer->step = 0;
            net->weights[i] = kept + h;
            CHECK_OK(ssde_train_step(trainer, &batch, &up));
            trainer->step = 0;
            net->weights[i] = kept - h;
            CHECK_OK(ssde_train_step(trainer, &batch, &down));
            net->weights[i] = kept;
            trainer->step = 0;
            difference = (up - down) / (2.0 * (double)h);
            /* curvature over 1e-2 and float's rounding of the loss over 2e-2 */
            CHECK_NEAR(gradient, difference, 5e-3 * (fabs(gradient) + fabs(loss)));
            CHECK_OK(ssde_train_step(trainer, &batch, &up));
            CHECK_NEAR(up, loss, 0.0);
        }
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(net);
    }
}

/* What the network is told: discrete labels are indices, for SMLD from the highest noise; data, flips and noise belong
   to slots. */
static void test_train_inputs(void) {
    ssde_sde ve = ssde_ve(0.01, 50.0), vp = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(NULL, &ve);
    ssde_net *net = files_mlp(NULL, 2, 8, 1, 3), *unet;
    ssde_unet_desc shape = files_unet_desc(NULL);
    ssde_trainer *trainer;
    float label, sigma;
    static float data[8 * 256], whole[8 * 256];
    double std;
    size_t i, plain = 0, turned = 0;
    ve.num_scales = 10;
    vp.num_scales = 40;
    desc.loss.discrete = 1;
    CHECK_OK(ssde_trainer_create(&trainer, net, &ve, &desc));
    CHECK_OK(ssde_score_net_label(NULL, net, &trainer->sde, 1.0, &label, &sigma, NULL));
    CHECK(label == 0.0f && sigma == 50.0f);
    CHECK_OK(ssde_score_net_label(NULL, net, &trainer->sde, 0.0, &label, &sigma, NULL));
    CHECK(label == 9.0f);
    CHECK_NEAR(sigma, 0.01, 1e-8);
    ssde_trainer_destroy(trainer);
    CHECK_OK(ssde_trainer_create(&trainer, net, &vp, &desc));
    CHECK_OK(ssde_score_net_label(NULL, net, &trainer->sde, 3.0 / 39.0, &label, &sigma, NULL));
    CHECK_OK(ssde_discrete_marginal(NULL, &vp, 3, NULL, &std, NULL));
    CHECK(label == 3.0f);
    CHECK_RELATIVE(sigma, std, 1e-7);
    ssde_trainer_destroy(trainer);
    desc.random_flip = 1;
    CHECK_STATUS(ssde_trainer_create(&trainer, net, &vp, &desc), SSDE_ERROR_ARGUMENT);
    ssde_net_destroy(net);

    CHECK_OK(ssde_unet_create(&unet, &shape));
    desc = files_train_desc(NULL, &vp);
    desc.random_flip = 1;
    desc.levels = 4.0;
    CHECK_OK(ssde_trainer_create(&trainer, unet, &vp, &desc));
    for (i = 0; i < 8 * 256; i++) data[i] = (float)(i * 7 % 4);
    for (i = 0; i < 8; i++) trainer->slot[i] = 100 + i;
    CHECK_OK(ssdei_train_perturb(trainer, data, 8, 1, 5, 1));
    memcpy(whole, trainer->x, sizeof whole);
    for (i = 0; i < 3; i++) trainer->slot[i] = 105 + i;
    CHECK_OK(ssdei_train_perturb(trainer, data + 5 * 256, 3, 1, 5, 1));
    CHECK_SAME(trainer->x, whole + 5 * 256, 3 * 256 * sizeof *whole);
    for (i = 0; i < 1000; i++)
        if (ssde_random_double(1, SSDE_STREAM_FLIP, 5, i, 0) < 0.5)
            turned++;
        else
            plain++;
    CHECK(turned > 440 && plain > 440); /* 3.8 standard deviations of 15.8 */
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(unet);
}

static void files_train(ssde_trainer *trainer, int steps) {
    ssde_batch batch = files_batch();
    for (; steps > 0; steps--) CHECK_OK(ssde_train_step(trainer, &batch, NULL));
}

static void files_check_same_trainer(const ssde_trainer *a, const ssde_trainer *b) {
    size_t size = a->net->weight_count * sizeof(float);
    CHECK(a->step == b->step);
    CHECK_SAME(a->net->weights, b->net->weights, size);
    CHECK_SAME(a->ema->weights, b->ema->weights, size);
    CHECK_SAME(a->first_moment, b->first_moment, size);
    CHECK_SAME(a->second_moment, b->second_moment, size);
    if (!a->desc.keep_averages) return;
    CHECK_SAME(a->averages[0], b->averages[0], size);
    CHECK_SAME(a->averages[1], b->averages[1], size);
}

static void test_train_resume(void) {
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_sde sdes[3], other = ssde_vp(0.2, 20.0);
    int i;
    sdes[0] = ssde_vp(0.1, 20.0);
    sdes[1] = ssde_affine(files_no_drift, files_diffusion, NULL);
    sdes[2] = ssde_rectified_flow();
    for (i = 0; i < 3; i++) {
        ssde_train_desc desc = files_train_desc(&context, &sdes[i]);
        ssde_net *net = files_mlp(&context, 2, 8, 1, 3), *second = files_mlp(&context, 2, 8, 1, 99);
        ssde_net *wider = files_mlp(&context, 2, 12, 1, 3), *loaded;
        ssde_trainer *straight, *resumed, *refusing;
        ssde_batch points = files_batch();
        double a, b;
        desc.keep_averages = i;
        CHECK_OK(ssde_trainer_create(&straight, net, &sdes[i], &desc));
        files_train(straight, 3);
        CHECK_OK(ssde_trainer_save(straight, FILES_PATH));
        files_train(straight, 3);
        desc.batch = 16; /* may differ */
        CHECK_OK(ssde_trainer_create(&resumed, second, &sdes[i], &desc));
        files_train(resumed, 1);
        CHECK_OK(ssde_trainer_load(resumed, FILES_PATH));
        CHECK(ssde_trainer_step_count(resumed) == 3);
        files_train(resumed, 3);
        files_check_same_trainer(straight, resumed);
        /* in slices of another size the loss is the same */
        CHECK_OK(ssde_trainer_evaluate(straight, &points, 5, &a, NULL));
        CHECK_OK(ssde_trainer_evaluate(resumed, &points, 5, &b, NULL));
        CHECK(a == b && a > 0.0);

        CHECK_OK(ssde_trainer_create(&refusing, wider, &sdes[i], &desc));
        CHECK_FAILS(&context, ssde_trainer_load(refusing, FILES_PATH), SSDE_ERROR_FORMAT, "another network");
        ssde_trainer_destroy(refusing);
        desc.seed++;
        CHECK_OK(ssde_trainer_create(&refusing, second, &sdes[i], &desc));
        CHECK_FAILS(&context, ssde_trainer_load(refusing, FILES_PATH), SSDE_ERROR_FORMAT, "training.seed");
        ssde_trainer_destroy(refusing);
        desc.seed--;
        desc.beta2 = 0.99;
        CHECK_OK(ssde_trainer_create(&refusing, second, &sdes[i], &desc));
        CHECK_FAILS(&context, ssde_trainer_load(refusing, FILES_PATH), SSDE_ERROR_FORMAT, "optim.beta2");
        ssde_trainer_destroy(refusing);
        desc.beta2 = 0.999;
        CHECK_OK(ssde_trainer_create(&refusing, second, &other, &desc));
        CHECK_FAILS(&context, ssde_trainer_load(refusing, FILES_PATH), SSDE_ERROR_FORMAT, i ? "sde.kind" : "beta_min");
        ssde_trainer_destroy(refusing);
        desc.keep_averages = !i;
        CHECK_OK(ssde_trainer_create(&refusing, second, &sdes[i], &desc));
        CHECK_FAILS(&context, ssde_trainer_load(refusing, FILES_PATH), SSDE_ERROR_FORMAT, "model.keep_averages");
        ssde_trainer_destroy(refusing);

        CHECK_OK(ssde_trainer_save_model(straight, FILES_OTHER));
        CHECK_FAILS(&context, ssde_trainer_load(resumed, FILES_OTHER), SSDE_ERROR_FORMAT, "no checkpoint");
        files_check_same_trainer(straight, resumed);
        CHECK_OK(ssde_net_load(&context, &loaded, i == 1 ? NULL : &other, FILES_OTHER));
        if (i != 1) CHECK(other.kind == sdes[i].kind && (i || other.beta_min == 0.1));
        other = ssde_vp(0.2, 20.0);
        CHECK_SAME(loaded->weights, ssde_trainer_ema(straight)->weights, loaded->weight_count * sizeof(float));
        ssde_net_destroy(loaded);
        ssde_trainer_destroy(straight);
        ssde_trainer_destroy(resumed);
        ssde_net_destroy(net);
        ssde_net_destroy(second);
        ssde_net_destroy(wider);
        CHECK(memory.live == 0);
    }
    remove(FILES_PATH);
    remove(FILES_OTHER);
}

/* ---- train: every meaning of an output ---- */

/* The loss of o = W (input x) + b with respect to W and b, in double from the definitions: of z_o - z, or of the output
   against its target, which is (z_o - z) / (dz_o / do). */
static double outputs_naive(const ssde_trainer *trainer, const double weight[4], const double bias[2],
                            double gradient[6]) {
    const ssde_loss_desc *loss = &trainer->desc.loss;
    double sum = 0.0, mean, std;
    int row, i, k;
    memset(gradient, 0, 6 * sizeof *gradient);
    for (row = 0; row < 8; row++) {
        double u[2], x[2], input;
        CHECK_OK(ssde_loss_marginal(&trainer->sde, loss, trainer->t[row], &mean, &std));
        input = outputs_input(loss->output, loss->sigma_data, mean, std);
        for (i = 0; i < 2; i++) {
            x[i] = mean * (double)files_points[2 * row + i] + std * (double)trainer->z[2 * row + i];
            u[i] = input * x[i];
        }
        for (i = 0; i < 2; i++) {
            double o = weight[2 * i] * u[0] + weight[2 * i + 1] * u[1] + bias[i];
            double slope = outputs_noise(loss->output, loss->sigma_data, mean, std, 1.0, 0.0);
            double e =
                outputs_noise(loss->output, loss->sigma_data, mean, std, o, x[i]) - (double)trainer->z[2 * row + i];
            if (loss->weighting == SSDE_WEIGHT_OUTPUT) e /= slope, slope = 1.0;
            sum += e * e / 16.0;
            for (k = 0; k < 2; k++) gradient[2 * i + k] += e * slope * u[k] / 8.0;
            gradient[4 + i] += e * slope / 8.0;
        }
    }
    return sum;
}

static void test_train_outputs_gradient(void) {
    int which, output, own;
    for (which = 0; which < OUTPUT_SDES; which++)
        for (output = SSDE_PREDICT_SCORE; output < SSDE_PREDICT_COUNT; output++)
            for (own = 0; own < 2; own++) {
                ssde_sde sde = outputs_sde(which);
                ssde_train_desc desc = files_train_desc(NULL, &sde);
                ssde_batch batch = files_batch();
                ssde_trainer *trainer = NULL;
                ssde_net *net;
                float values[2][4];
                double weight[4], bias[2], wanted[6], loss, norm[2] = {0.0, 0.0}, error[2] = {0.0, 0.0};
                int part, i;
                CHECK_OK(ssde_net_create(NULL, &net, 5));
                CHECK_OK(ssde_net_finish(net, ssde_linear(net, ssde_input(net, 1, 1, 2), 2, 1.0, "w")));
                desc.loss.output = (ssde_parameterisation)output;
                desc.loss.sigma_data = 0.7;
                desc.loss.weighting = own ? SSDE_WEIGHT_OUTPUT : SSDE_WEIGHT_STD2;
                desc.loss.half_sum = 0;
                desc.loss.eps = which == 4 ? 1e-3 : 1e-5;
                CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
                CHECK_OK(ssde_net_get(net, 0, values[0]));
                CHECK_OK(ssde_net_get(net, 1, values[1]));
                for (i = 0; i < 4; i++) weight[i] = (double)values[0][i];
                for (i = 0; i < 2; i++) bias[i] = (double)values[1][i];
                CHECK_OK(ssdei_train_gradients(trainer, &batch, &loss));
                /* x and the output are floats */
                CHECK_RELATIVE(loss, outputs_naive(trainer, weight, bias, wanted), 1e-5);
                CHECK_OK(ssde_net_get_gradient(net, 0, trainer->gradients, values[0]));
                CHECK_OK(ssde_net_get_gradient(net, 1, trainer->gradients, values[1]));
                for (i = 0; i < 6; i++) {
                    double found;
                    part = i / 4;
                    found = (double)values[part][i % 4];
                    norm[part] += wanted[i] * wanted[i];
                    error[part] += (found - wanted[i]) * (found - wanted[i]);
                }
                for (part = 0; part < 2; part++) CHECK_NEAR(sqrt(error[part]), 0.0, 1e-5 * sqrt(norm[part]));
                ssde_trainer_destroy(trainer);
                ssde_net_destroy(net);
            }
}

/* The loss under the averaged weights, less that of the exact output at the same draws. */
enum { RING_ROWS = 128 };
static double outputs_excess(ssde_trainer *trainer, ssde_mixture *ring, const ssde_batch *batch) {
    static float x[2 * RING_ROWS], score[2 * RING_ROWS];
    const ssde_loss_desc *desc = &trainer->desc.loss;
    ssde_score_model exact = ssde_mixture_model(ring, &trainer->sde);
    double losses[RING_ROWS], loss = 0.0;
    size_t row;
    CHECK_OK(ssde_trainer_evaluate(trainer, batch, 3, &loss, NULL));
    CHECK_OK(ssde_loss_perturb(&trainer->sde, desc, batch->x, trainer->z, trainer->t, RING_ROWS, 2, x));
    CHECK_OK(exact.score(exact.user, x, trainer->t, NULL, RING_ROWS, 0, score));
    CHECK_OK(ssde_convert_output(NULL, &trainer->sde, SSDE_PREDICT_SCORE, desc->output, desc->sigma_data, x, trainer->t,
                                 score, RING_ROWS, 2, score));
    CHECK_OK(ssde_loss(&trainer->sde, desc, score, batch->x, trainer->z, trainer->t, trainer->weight, RING_ROWS, 2, 1.0,
                       losses, NULL));
    for (row = 0; row < RING_ROWS; row++) loss -= losses[row] / (double)RING_ROWS;
    return loss;
}

/* From the same seed, each meaning under each SDE learns the ring. */
static void test_train_outputs(void) {
    static float x[RING_ROWS * 2];
    int steps = check_quick ? 100 : 400, which, output, step;
    ssde_mixture *ring = NULL;
    CHECK_OK(ssde_ring_create(NULL, &ring, 8, 1.0, 0.1));
    for (which = 0; which < OUTPUT_SDES; which++)
        for (output = SSDE_PREDICT_SCORE; output < SSDE_PREDICT_COUNT; output++) {
            if (check_quick && (which + output) % 3) continue;
            ssde_sde sde = which ? outputs_sde(which) : ssde_ve(0.01, 5.0);
            ssde_rng rng = ssde_rng_seed(1);
            ssde_mlp_desc shape = ssde_mlp(2);
            ssde_train_desc desc = ssde_train_defaults(&sde, 0);
            ssde_net *net = NULL;
            ssde_trainer *trainer = NULL;
            ssde_batch batch = ssde_batch_of(x, RING_ROWS);
            double before, after;
            shape.hidden = 32;
            shape.seed = 2;
            shape.scale_by_sigma = output == SSDE_PREDICT_SCORE;
            desc.loss.output = (ssde_parameterisation)output;
            desc.loss.sigma_data = 0.7;
            desc.loss.weighting = output > SSDE_PREDICT_NOISE ? SSDE_WEIGHT_OUTPUT : SSDE_WEIGHT_STD2;
            if (output == SSDE_PREDICT_VELOCITY || output == SSDE_PREDICT_EDM) desc.loss.times = SSDE_TIMES_LOG_NORMAL;
            desc.batch = RING_ROWS;
            desc.lr = 1e-2;
            desc.warmup = 10;
            CHECK_OK(ssde_mlp_create(&net, &shape));
            CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
            CHECK_OK(ssde_mixture_sample(ring, &rng, RING_ROWS, x, NULL));
            before = outputs_excess(trainer, ring, &batch);
            for (step = 0; step < steps; step++) {
                CHECK_OK(ssde_mixture_sample(ring, &rng, RING_ROWS, x, NULL));
                CHECK_OK(ssde_train_step(trainer, &batch, NULL));
            }
            rng.next_sample = 0;
            CHECK_OK(ssde_mixture_sample(ring, &rng, RING_ROWS, x, NULL));
            after = outputs_excess(trainer, ring, &batch);
            CHECK(before > 0.0 && after < 0.95 * before);
            ssde_trainer_destroy(trainer);
            ssde_net_destroy(net);
        }
    ssde_mixture_destroy(ring);
}

/* A network that has been told keeps what it was told, until another training says otherwise. */
static void test_train_outputs_own(void) {
    ssde_sde vp = ssde_vp(0.1, 20.0), ve = ssde_ve(0.01, 20.0);
    ssde_unet_desc body = conditioning_unet(SSDE_NOISE_EMBEDDING, 0);
    ssde_classifier_desc classifies = ssde_classifier_of(&body, 3);
    ssde_train_desc desc = files_train_desc(NULL, &vp);
    ssde_net *net = files_mlp(NULL, 2, 8, 1, 3), *class_net = NULL;
    ssde_trainer *trainer = NULL;
    ssdei_meaning means = {SSDE_PREDICT_DEFAULT, 0.0, 0, 0, {0, 0.0, 0.0}, 0};
    double sigma_data = -1.0;
    CHECK(ssde_net_output(net, &sigma_data) == SSDE_PREDICT_DEFAULT && sigma_data == 0.0);
    CHECK(ssde_net_output(NULL, NULL) == SSDE_PREDICT_DEFAULT);
    CHECK_OK(ssde_trainer_create(&trainer, net, &vp, &desc));
    CHECK(ssde_net_output(net, NULL) == SSDE_PREDICT_NOISE && trainer->desc.loss.output == SSDE_PREDICT_NOISE);
    ssde_trainer_destroy(trainer);
    CHECK_OK(ssde_trainer_create(&trainer, net, &ve, &desc));
    CHECK(ssde_net_output(net, NULL) == SSDE_PREDICT_NOISE && trainer->desc.loss.output == SSDE_PREDICT_NOISE);
    ssde_trainer_destroy(trainer);
    desc.loss.output = SSDE_PREDICT_EDM;
    desc.loss.sigma_data = 0.7;
    CHECK_OK(ssde_trainer_create(&trainer, net, &ve, &desc));
    ssde_trainer_destroy(trainer);
    desc = files_train_desc(NULL, &vp);
    CHECK_OK(ssde_trainer_create(&trainer, net, &vp, &desc));
    CHECK(ssde_net_output(net, &sigma_data) == SSDE_PREDICT_EDM && sigma_data == 0.7);
    CHECK(ssde_net_output(ssde_trainer_ema(trainer), &sigma_data) == SSDE_PREDICT_EDM && sigma_data == 0.7);
    CHECK(trainer->desc.loss.output == SSDE_PREDICT_EDM && trainer->desc.loss.sigma_data == 0.7);
    ssde_trainer_destroy(trainer);
    desc.loss.output = SSDE_PREDICT_FLOW;
    desc.loss.sigma_data = 0.3; /* of nothing here, nor of what it is given for later */
    CHECK_OK(ssde_trainer_create(&trainer, net, &vp, &desc));
    CHECK(ssde_net_output(net, &sigma_data) == SSDE_PREDICT_FLOW && sigma_data == 0.0);
    ssde_trainer_destroy(trainer);
    means.output = SSDE_PREDICT_EDM;
    CHECK_OK(ssdei_net_meaning(NULL, "", net, &vp, &means));
    CHECK(means.sigma_data == 0.5);
    ssde_net_destroy(net);
    /* classifiers mean nothing of the kind */
    desc.classifier = 1;
    desc.loss.output = SSDE_PREDICT_EDM;
    CHECK_OK(ssde_classifier_net_create(&class_net, &classifies));
    CHECK_OK(ssde_trainer_create(&trainer, class_net, &vp, &desc));
    CHECK(ssde_net_output(class_net, NULL) == SSDE_PREDICT_DEFAULT);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(class_net);
}

/* A checkpoint knows what is trained, and how t is drawn and errors count. */
static void test_train_outputs_resume(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    int output, change;
    for (output = SSDE_PREDICT_SCORE; output < SSDE_PREDICT_COUNT; output++) {
        static const char *const words[] = {"training.output",    "training.sigma_data", "training.weighting",
                                            "training.times",     "training.time_mean",  "training.time_std",
                                            "training.stratified"};
        ssde_net *net = files_mlp(NULL, 2, 8, 1, 3), *second = files_mlp(NULL, 2, 8, 1, 99);
        ssde_train_desc desc = files_train_desc(&context, &sde);
        ssde_trainer *straight = NULL, *resumed = NULL;
        desc.loss.output = (ssde_parameterisation)output;
        desc.loss.sigma_data = 0.7;
        desc.loss.weighting = SSDE_WEIGHT_EDM;
        desc.loss.times = SSDE_TIMES_LOG_NORMAL;
        desc.loss.time_mean = -1.0;
        desc.loss.time_std = 1.5;
        desc.loss.stratified = 1;
        CHECK_OK(ssde_trainer_create(&straight, net, &sde, &desc));
        files_train(straight, 3);
        CHECK_OK(ssde_trainer_save(straight, FILES_PATH));
        files_train(straight, 3);
        CHECK_OK(ssde_trainer_create(&resumed, second, &sde, &desc));
        files_train(resumed, 1);
        CHECK_OK(ssde_trainer_load(resumed, FILES_PATH));
        files_train(resumed, 3);
        files_check_same_trainer(straight, resumed);
        ssde_trainer_destroy(resumed);
        for (change = 0; change < 7; change++) {
            ssde_train_desc other = desc;
            if (change == 0) other.loss.output = output == SSDE_PREDICT_DATA ? SSDE_PREDICT_NOISE : SSDE_PREDICT_DATA;
            if (change == 1) other.loss.sigma_data = 0.6;
            if (change == 2) other.loss.weighting = SSDE_WEIGHT_OUTPUT;
            if (change == 3) other.loss.times = SSDE_TIMES_UNIFORM;
            if (change == 4) other.loss.time_mean = 0.0;
            if (change == 5) other.loss.time_std = 1.0;
            if (change == 6) other.loss.stratified = 0;
            CHECK_OK(ssde_trainer_create(&resumed, second, &sde, &other));
            CHECK_FAILS(&context, ssde_trainer_load(resumed, FILES_PATH), SSDE_ERROR_FORMAT, words[change]);
            ssde_trainer_destroy(resumed);
        }
        ssde_trainer_destroy(straight);
        ssde_net_destroy(second);
        ssde_net_destroy(net);
    }
    remove(FILES_PATH);
}

/* ---- train ---- */

/* Truncated and changed checkpoints change nothing. */
static void test_train_bad_checkpoints(void) {
    static unsigned char bytes[65536];
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(&context, &sde);
    ssde_net *net = files_mlp(&context, 2, 4, 1, 3), *same = files_mlp(&context, 2, 4, 1, 3);
    ssde_trainer *trainer, *untouched;
    long live;
    size_t size, i;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK_OK(ssde_trainer_create(&untouched, same, &sde, &desc));
    files_train(trainer, 2);
    CHECK_OK(ssde_trainer_save(trainer, FILES_PATH));
    size = files_read(FILES_PATH, bytes, sizeof bytes);
    files_train(trainer, 1);
    files_train(untouched, 3);
    live = memory.live;
    for (i = 0; i < size; i += check_quick ? 301 : 13) {
        write_file(FILES_PATH, bytes, i);
        CHECK(ssde_trainer_load(trainer, FILES_PATH) != SSDE_OK && memory.live == live);
    }
    write_file(FILES_PATH, bytes, size);
    for (i = 3; i < 8 * size;
         i += check_quick ? 8 * 37 + 1 : 101) { /* bits flipped, each place of a byte in its turn */
        files_flip(FILES_PATH, i);
        CHECK_STATUS(ssde_trainer_load(trainer, FILES_PATH), SSDE_ERROR_FORMAT);
        CHECK(memory.live == live);
        files_flip(FILES_PATH, i);
    }
    files_strip_checksums(bytes, size);
    bytes[size - 1] = bytes[size - 2] = 0xff; /* the last second moment becomes NaN, then negative */
    write_file(FILES_PATH, bytes, size);
    CHECK_FAILS(&context, ssde_trainer_load(trainer, FILES_PATH), SSDE_ERROR_NUMERIC, "adam_v/");
    bytes[size - 1] = 0xbf;
    write_file(FILES_PATH, bytes, size);
    CHECK_FAILS(&context, ssde_trainer_load(trainer, FILES_PATH), SSDE_ERROR_NUMERIC, "second moment");
    CHECK_STATUS(ssde_trainer_load(NULL, FILES_PATH), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_load(trainer, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_save(trainer, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_save(trainer, "no such folder/file"), SSDE_ERROR_FILE);
    files_check_same_trainer(trainer, untouched);
    ssde_trainer_destroy(trainer);
    ssde_trainer_destroy(untouched);
    ssde_net_destroy(net);
    ssde_net_destroy(same);
    CHECK(memory.live == 0);
    remove(FILES_PATH);
}

/* Steps of a network of vectors, of several stretches, and of one of images are the same bits whoever works. */
static void test_train_threads(void) {
    enum { MOST = 4, ROWS = 8, DIM = 8 * 8 * 3 };
    static const int workers[MOST] = {1, 2, 3, 5};
    static float x[ROWS * DIM];
    ssde_unet_desc shape = nn_small_unet();
    ssde_sde sde = ssde_ve(0.01, 50.0);
    int images, i, step;
    oracle_normals(1, 0.5, ROWS * DIM, x);
    for (images = 0; images < 3; images++) {
        ssde_context contexts[MOST];
        threads_hook hooks[MOST];
        ssde_net *nets[MOST];
        ssde_trainer *trainers[MOST];
        for (i = 0; i < MOST; i++) {
            ssde_train_desc desc;
            ssde_batch batch = images ? ssde_batch_of(x, ROWS) : files_batch();
            contexts[i] = ssde_context_defaults();
            contexts[i].parallel_for = threads_parallel_for;
            contexts[i].user = &hooks[i];
            contexts[i].threads = hooks[i].threads = workers[i];
            hooks[i].calls = 0;
            shape.context = &contexts[i];
            desc = files_train_desc(&contexts[i], &sde);
            desc.warmup = 0;
            desc.keep_averages = 1;
            desc.objective = images == 2 ? SSDE_OBJECTIVE_SLICED : SSDE_OBJECTIVE_DENOISING;
            nets[i] = images ? NULL : files_mlp(&contexts[i], 2, 96, 3, 3);
            if (images) CHECK_OK(ssde_unet_create(&nets[i], &shape));
            CHECK_OK(ssde_trainer_create(&trainers[i], nets[i], &sde, &desc));
            if (!trainers[i]) return;
            CHECK(trainers[i]->stretch_count > 3);
            for (step = 0; step < 3; step++) CHECK_OK(ssde_train_step(trainers[i], &batch, NULL));
            CHECK((hooks[i].calls > 0) == (workers[i] > 1));
            files_check_same_trainer(trainers[i], trainers[0]);
        }
        for (i = 0; i < MOST; i++) {
            ssde_trainer_destroy(trainers[i]);
            ssde_net_destroy(nets[i]);
        }
    }
}

/* A trainer, which has the averaged network and a run, takes as much as is told; steps and evaluations take nothing. */
static void test_train_memory(void) {
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(&context, &sde);
    ssde_net *net = files_mlp(&context, 2, 8, 1, 3);
    ssde_trainer *trainer;
    ssde_batch points = files_batch();
    double loss;
    size_t before = memory.bytes, said = 0;
    long made;
    int objective;
    for (objective = 0; objective < 2 * SSDE_OBJECTIVE_COUNT; objective++) {
        desc.objective = (ssde_objective)(objective / 2);
        desc.keep_averages = objective % 2;
        if (desc.keep_averages) CHECK(ssde_trainer_memory(net, &desc) >= said + 2 * sizeof(float) * net->weight_count);
        said = ssde_trainer_memory(net, &desc);
        CHECK(said > 0 && memory.bytes == before);
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
        CHECK(memory.bytes == before + said);
        CHECK(ssde_net_memory(ssde_trainer_ema(trainer)) < ssde_net_memory(net));
        made = memory.made;
        files_train(trainer, 2);
        CHECK_OK(ssde_trainer_evaluate(trainer, &points, 1, &loss, NULL));
        CHECK(memory.made == made);
        ssde_trainer_destroy(trainer);
        CHECK(memory.bytes == before);
    }
    CHECK(ssde_trainer_memory(NULL, &desc) == 0 && ssde_trainer_memory(net, NULL) == 0);
    desc.random_flip = 1; /* of vectors */
    CHECK(ssde_trainer_memory(net, &desc) == 0);
    desc.random_flip = 0;
    desc.class_dropout = 0.5;
    CHECK(ssde_trainer_memory(net, &desc) == 0);
    desc.class_dropout = 0.0;
    desc.batch = 0;
    CHECK(ssde_trainer_memory(net, &desc) == 0);
    desc.batch = INT_MAX; /* more than a run's max_rows */
    CHECK(ssde_trainer_memory(net, &desc) == 0);
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
}

/* An evaluation, which uses the trainer's run, has the bits of a run for inference with the averaged weights, and
   leaves training as it was. */
static void test_train_evaluate_run(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(NULL, &sde);
    ssde_trainer *trainers[2];
    ssde_net *nets[2];
    ssde_run_desc inference = ssde_run_defaults(SSDE_RUN_INFERENCE, 8);
    ssde_batch points = ssde_batch_of(files_points, 8);
    ssde_run *run = NULL;
    ssde_node h;
    float out[16];
    double losses[8], loss = 0.0, mean = 0.0;
    int i;
    for (i = 0; i < 2; i++) {
        CHECK_OK(ssde_net_create(NULL, &nets[i], 5));
        h = ssde_linear(nets[i], ssde_input(nets[i], 1, 1, 2), 16, 1.0, "first");
        h = ssde_dropout(nets[i], ssde_activate(nets[i], h, SSDE_SILU), 0.5);
        CHECK_OK(ssde_net_finish(nets[i], ssde_linear(nets[i], h, 2, 1.0, "second")));
        CHECK_OK(ssde_trainer_create(&trainers[i], nets[i], &sde, &desc));
        files_train(trainers[i], 3);
    }
    CHECK_OK(ssde_trainer_evaluate(trainers[0], &points, 7, &loss, NULL));
    CHECK_OK(ssde_run_create(&run, ssde_trainer_ema(trainers[0]), &inference));
    CHECK_OK(ssde_run_forward(run, trainers[0]->x, NULL, NULL, 8, 0, 0, NULL, out));
    CHECK_OK(ssde_loss(&sde, &trainers[0]->desc.loss, out, trainers[0]->x0, trainers[0]->z, trainers[0]->t,
                       trainers[0]->weight, 8, 2, 1.0, losses, NULL));
    CHECK_SAME(losses, trainers[0]->losses, sizeof losses);
    for (i = 0; i < 8; i++) mean += (losses[i] - mean) / (i + 1);
    CHECK(loss == mean);
    for (i = 0; i < 2; i++) files_train(trainers[i], 2);
    files_check_same_trainer(trainers[0], trainers[1]);
    ssde_run_destroy(run);
    for (i = 0; i < 2; i++) {
        ssde_trainer_destroy(trainers[i]);
        ssde_net_destroy(nets[i]);
    }
}

/* Frozen parameters stay, however their gradients look. */
static void test_train_frozen(void) {
    ssde_sde sde = ssde_ve(0.01, 50.0);
    ssde_train_desc desc = files_train_desc(NULL, &sde);
    ssde_mlp_desc shape = ssde_mlp(2);
    ssde_net *net;
    ssde_trainer *trainer;
    size_t i, k, frozen = 0, moved = 0;
    float *before;
    shape.hidden = 8;
    shape.embedding_type = SSDE_EMBEDDING_FOURIER;
    CHECK_OK(ssde_mlp_create(&net, &shape));
    before = (float *)malloc(net->weight_count * sizeof *before);
    memcpy(before, net->weights, net->weight_count * sizeof *before);
    desc.warmup = 0;
    desc.weight_decay = 0.1;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    files_train(trainer, 2);
    for (i = 0; i < net->parameter_count; i++) {
        const ssdei_parameter *parameter = &net->parameters[i];
        for (k = parameter->offset; k < parameter->offset + parameter->info.count; k++) {
            frozen += !parameter->info.trainable;
            if (!parameter->info.trainable)
                CHECK(before[k] == net->weights[k] && before[k] == trainer->ema->weights[k]);
            else
                moved += before[k] != net->weights[k];
        }
    }
    CHECK(frozen == 4 && moved > 20);
    CHECK_OK(ssde_trainer_save(trainer, FILES_PATH));
    CHECK_OK(ssde_trainer_load(trainer, FILES_PATH));
    remove(FILES_PATH);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
    free(before);
}

static void test_train_ring(void) {
    enum { ROWS = 64 };
    static float x[ROWS * 2];
    int steps = check_quick ? 150 : 600, step;
    ssde_sde sdes[4];
    size_t i;
    sdes[0] = ssde_vp(0.1, 20.0);
    sdes[1] = ssde_subvp(0.1, 20.0);
    sdes[2] = ssde_ve(0.01, 5.0);
    sdes[3] = ssde_rectified_flow();
    for (i = 0; i < 4; i++) {
        ssde_mixture *ring;
        ssde_rng rng = ssde_rng_seed(1);
        ssde_mlp_desc shape = ssde_mlp(2);
        ssde_train_desc desc = ssde_train_defaults(&sdes[i], (uint64_t)steps);
        ssde_net *net;
        ssde_trainer *trainer;
        ssde_batch batch = ssde_batch_of(x, ROWS);
        double before, after, error, loss, first_error;
        shape.hidden = 32;
        shape.seed = 2;
        if (i == 2) {
            shape.embedding_type = SSDE_EMBEDDING_FOURIER;
            shape.fourier_scale = 1.0;
            shape.scale_by_sigma = 1;
        }
        desc.batch = ROWS;
        CHECK_OK(ssde_ring_create(NULL, &ring, 8, 1.0, 0.1));
        CHECK_OK(ssde_mlp_create(&net, &shape));
        CHECK_OK(ssde_trainer_create(&trainer, net, &sdes[i], &desc));
        CHECK_OK(ssde_mixture_sample(ring, &rng, ROWS, x, NULL));
        CHECK_OK(ssde_trainer_evaluate(trainer, &batch, 3, &before, &first_error));
        for (step = 0; step < steps; step++) {
            CHECK_OK(ssde_mixture_sample(ring, &rng, ROWS, x, NULL));
            CHECK_OK(ssde_train_step(trainer, &batch, &loss));
        }
        rng.next_sample = 0;
        CHECK_OK(ssde_mixture_sample(ring, &rng, ROWS, x, NULL));
        CHECK_OK(ssde_trainer_evaluate(trainer, &batch, 3, &after, &error));
        /* A network that returns nothing costs 1 (half the sum over two dimensions: 1 too). The exact score of the ring
           costs about 0.3 under VP and sub-VP, as much of the noise cannot be told from the data. */
        CHECK_NEAR(before, 1.0, 4.0 * first_error);
        CHECK(after < 0.8 * before);
        CHECK(error > 0.0 && error < 0.2);
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(net);
        ssde_mixture_destroy(ring);
    }
}

/* ---- train: objectives ---- */

/* The gradients of a step, and its loss, by the trainer's own functions. */
static void objective_step(ssde_net *net, const ssde_sde *sde, const ssde_train_desc *desc, ssde_batch batch,
                           double *loss, float gradients[TRAIN_MOST]) {
    ssde_trainer *trainer;
    CHECK_OK(ssde_trainer_create(&trainer, net, sde, desc));
    if (trainer) train_step(trainer, &batch, loss, gradients);
    ssde_trainer_destroy(trainer);
}

/* Sliced score matching over the probes e_i one by one is implicit score matching; and so is its mean over many signs;
   and the loss of a step is that which is evaluated. Any parameterisation. */
static void test_train_objective_probes(void) {
    static const ssde_parameterisation outputs[4] = {SSDE_PREDICT_NOISE, SSDE_PREDICT_SCORE, SSDE_PREDICT_VELOCITY,
                                                     SSDE_PREDICT_EDM};
    enum { ROWS = 8, DIM = 2 };
    int which, i;
    for (which = 0; which < 4; which++) {
        ssde_sde sde = ssde_vp(0.1, 20.0);
        ssde_train_desc desc = files_train_desc(NULL, &sde);
        ssde_net *net = files_mlp(NULL, DIM, 8, 1, 3);
        ssde_batch batch = files_batch();
        ssde_trainer *trainer;
        ssde_run_desc how = ssde_run_defaults(SSDE_RUN_TANGENT, ROWS);
        ssde_run *run = NULL;
        float gradients[3][TRAIN_MOST], out[ROWS * DIM], tangent[ROWS * DIM], v[ROWS * DIM], seen[ROWS * DIM];
        double losses[3] = {0, 0, 0}, each[2][ROWS];
        size_t row, k;
        desc.lr = 0.0;
        desc.loss.output = outputs[which];
        desc.objective = SSDE_OBJECTIVE_IMPLICIT;
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
        if (!trainer) return;
        train_step(trainer, &batch, &losses[0], gradients[0]);
        /* |s|^2 from v = 0, and the rest of each e_i */
        CHECK_OK(ssde_run_create(&run, net, &how));
        memset(gradients[1], 0, sizeof gradients[1]);
        for (i = 0; i <= DIM; i++) {
            for (row = 0; row < ROWS; row++)
                for (k = 0; k < DIM; k++) {
                    v[row * DIM + k] = (int)k == i - 1 ? 1.0f : 0.0f;
                    seen[row * DIM + k] = v[row * DIM + k];
                    if (outputs[which] == SSDE_PREDICT_EDM) seen[row * DIM + k] *= (float)trainer->map[row].input;
                }
            CHECK_OK(ssde_run_forward_tangent(run, trainer->x, seen, trainer->label, trainer->sigma, ROWS, 0, 0, NULL,
                                              out, tangent));
            CHECK_OK(ssde_loss_implicit(&sde, &trainer->desc.loss, out, tangent, trainer->x0, v, trainer->t,
                                        trainer->weight, ROWS, DIM, 1.0 / (double)ROWS, each[i > 0], out, tangent));
            for (row = 0; row < ROWS; row++) losses[1] += (each[i > 0][row] - (i ? each[0][row] : 0.0)) / (double)ROWS;
            CHECK_OK(ssde_run_backward_tangent(run, i ? NULL : out, tangent, gradients[1]));
        }
        ssde_run_destroy(run);
        CHECK_RELATIVE(losses[1], losses[0], 1e-5);
        CHECK_ARRAY(gradients[0], gradients[1], net->weight_count, 1e-5);
        /* at step 0 the averaged weights are the weights */
        trainer->step = 0;
        CHECK_OK(ssde_trainer_evaluate(trainer, &batch, desc.seed, &losses[1], NULL));
        CHECK_RELATIVE(losses[1], losses[0], 1e-14);
        ssde_trainer_destroy(trainer);
        desc.objective = SSDE_OBJECTIVE_SLICED;
        desc.probes = 4096;
        objective_step(net, &sde, &desc, batch, &losses[2], gradients[2]);
        CHECK_RELATIVE(losses[2], losses[0], 0.05);
        CHECK_ARRAY(gradients[2], gradients[0], net->weight_count, 0.05);
        desc.probes = 1; /* one probe is another estimate */
        objective_step(net, &sde, &desc, batch, &losses[2], gradients[1]);
        CHECK(check_distance(gradients[1], gradients[0], net->weight_count) > 0.02);
        ssde_net_destroy(net);
    }
}

static double objective_one_time(void *user, double u) { return (void)u, *(const double *)user; }

/* Fisher divergence E |s - s*|^2 of the averaged weights from the mixture at t, over its own samples. */
static double objective_divergence(const ssde_trainer *trainer, ssde_mixture *mixture, const ssde_sde *sde, double at) {
    enum { ROWS = 512 };
    static float x[ROWS * 2], z[ROWS * 2], score[ROWS * 2], exact[ROWS * 2];
    static double t[ROWS];
    ssde_loss_desc loss = ssde_loss_defaults();
    ssde_score_model model = ssde_mixture_model(mixture, sde);
    ssde_score_net *net = NULL;
    ssde_rng rng = ssde_rng_seed(77);
    double sum = 0.0;
    size_t i;
    loss.times = SSDE_TIMES_USER;
    loss.time = objective_one_time;
    for (i = 0; i < ROWS; i++) t[i] = at;
    CHECK_OK(ssde_mixture_sample(mixture, &rng, ROWS, x, NULL));
    CHECK_OK(ssde_random_normal(NULL, 5, SSDE_STREAM_USER, 0, NULL, ROWS, 2, z));
    CHECK_OK(ssde_loss_perturb(sde, &loss, x, z, t, ROWS, 2, x));
    CHECK_OK(model.score(model.user, x, t, NULL, ROWS, 0, exact));
    CHECK_OK(ssde_score_net_create(&net, ssde_trainer_ema(trainer), sde, NULL));
    model = ssde_score_net_model(net);
    for (i = 0; i < ROWS; i += model.max_rows)
        CHECK_OK(model.score(model.user, x + 2 * i, t + i, NULL, model.max_rows, 0, score + 2 * i));
    ssde_score_net_destroy(net);
    for (i = 0; i < ROWS * 2; i++) {
        double away = (double)score[i] - (double)exact[i];
        sum += away * away / (double)ROWS;
    }
    return sum;
}

/* A Gaussian and two clusters: by each objective, over all times, and of data as they are at t = 0 by those that can,
   the learned score comes near the exact one; E |s*|^2 is 2 / 0.49 of the Gaussian at 0. */
static void test_train_objectives(void) {
    enum { ROWS = 128 };
    static const double weights[2] = {1.0, 1.0}, means[4] = {-0.8, 0.4, 0.8, -0.4}, stds[4] = {0.5, 0.5, 0.5, 0.5};
    static float x[ROWS * 2];
    int steps = check_quick ? 300 : 1000, data, objective, at_once, step;
    for (data = 0; data < 2; data++)
        for (objective = 0; objective < SSDE_OBJECTIVE_COUNT; objective++)
            for (at_once = 0; at_once < (objective ? 2 : 1); at_once++) {
                if (check_quick && data != at_once) continue;
                ssde_sde sde = ssde_vp(0.1, 20.0);
                ssde_train_desc desc = ssde_train_defaults(&sde, (uint64_t)steps);
                ssde_mlp_desc shape = ssde_mlp(2);
                ssde_batch batch = ssde_batch_of(x, ROWS);
                ssde_rng rng = ssde_rng_seed(1);
                ssde_mixture *mixture = NULL;
                ssde_trainer *trainer;
                ssde_net *net;
                double zero = 0.0, near, far;
                shape.hidden = 32;
                desc.objective = (ssde_objective)objective;
                desc.loss.output = at_once ? SSDE_PREDICT_SCORE : SSDE_PREDICT_NOISE;
                if (at_once) {
                    desc.loss.times = SSDE_TIMES_USER;
                    desc.loss.time = objective_one_time;
                    desc.loss.user = &zero;
                }
                if (data)
                    CHECK_OK(ssde_mixture_create(NULL, &mixture, 2, 2, weights, means, stds));
                else
                    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 2, 0.0, 0.7));
                CHECK_OK(ssde_mlp_create(&net, &shape));
                CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
                if (!trainer) return;
                for (step = 0; step < steps; step++) {
                    CHECK_OK(ssde_mixture_sample(mixture, &rng, ROWS, x, NULL));
                    CHECK_OK(ssde_train_step(trainer, &batch, NULL));
                }
                near = objective_divergence(trainer, mixture, &sde, at_once ? 0.0 : 0.2);
                far = at_once ? 0.0 : objective_divergence(trainer, mixture, &sde, 0.5);
                CHECK(near < (check_quick ? 1.0 : 0.1));
                CHECK(far < (check_quick ? 0.2 : 0.05));
                ssde_trainer_destroy(trainer);
                ssde_net_destroy(net);
                ssde_mixture_destroy(mixture);
            }
}

/* What no objective can do, and a checkpoint of another one. */
static void test_train_objective_errors(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(&context, &sde), bad;
    ssde_net *net = files_mlp(&context, 2, 8, 1, 3);
    ssde_batch batch = files_batch();
    ssde_trainer *trainer, *other;
    double zero = 0.0, loss;
    bad = desc;
    memset(&bad.objective, 1, sizeof bad.objective);
    CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sde, &bad), SSDE_ERROR_ARGUMENT, "desc.objective is ");
    bad = desc;
    bad.probes = -1;
    CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sde, &bad), SSDE_ERROR_ARGUMENT, "desc.probes is -1");
    bad = desc;
    bad.objective = SSDE_OBJECTIVE_SLICED;
    bad.classifier = 1;
    CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sde, &bad), SSDE_ERROR_ARGUMENT, "desc.objective is 2");
    bad = desc;
    bad.objective = SSDE_OBJECTIVE_SLICED;
    bad.loss.times = SSDE_TIMES_USER;
    bad.loss.time = objective_one_time;
    bad.loss.user = &zero;
    bad.loss.output = SSDE_PREDICT_NOISE;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &bad));
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_NUMERIC,
                "training step 0: ssde_loss_implicit: std is 0");
    CHECK_OK(ssde_trainer_save(trainer, FILES_PATH));
    CHECK_OK(ssde_trainer_load(trainer, FILES_PATH));
    bad.probes = 2;
    CHECK_OK(ssde_trainer_create(&other, net, &sde, &bad));
    CHECK_FAILS(&context, ssde_trainer_load(other, FILES_PATH), SSDE_ERROR_FORMAT, "training.probes");
    ssde_trainer_destroy(other);
    bad.objective = SSDE_OBJECTIVE_DENOISING;
    CHECK_OK(ssde_trainer_create(&other, net, &sde, &bad));
    CHECK_FAILS(&context, ssde_trainer_load(other, FILES_PATH), SSDE_ERROR_FORMAT, "training.objective");
    CHECK_FAILS(&context, ssde_train_step(other, &batch, &loss), SSDE_ERROR_NUMERIC, "ssde_loss: std is 0");
    remove(FILES_PATH);
    ssde_trainer_destroy(other);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
}

/* Long trainings have the reference's numbers to the bit (configs/default_cifar10_configs.py), short ones what they
   need. */
static void test_train_defaults(void) {
    static const uint64_t whole[4] = {0, 200000, 950001, 1300001}, shorter[4] = {1, 1000, 10000, 100000};
    static const int warmup[4] = {0, 50, 500, 5000};
    static const double lr[4] = {2e-3, 2e-3, 8.944271909999159e-4, 2.8284271247461903e-4};
    ssde_sde sdes[2], straight = ssde_rectified_flow();
    ssde_train_desc desc;
    int i, k;
    sdes[0] = ssde_subvp(0.1, 20.0);
    sdes[1] = ssde_ve(0.01, 50.0);
    desc = ssde_train_defaults(&straight, 0);
    CHECK(desc.low == -1.0 && desc.high == 1.0 && !desc.loss.half_sum && desc.ema_rate == 0.9999);
    for (k = 0; k < 2; k++)
        for (i = 0; i < 4; i++) {
            desc = ssde_train_defaults(&sdes[k], whole[i]);
            CHECK(desc.batch == 128 && desc.lr == 2e-4 && desc.warmup == 5000 && desc.grad_clip == 1.0);
            CHECK(desc.beta1 == 0.9 && desc.beta2 == 0.999 && desc.adam_eps == 1e-8 && desc.weight_decay == 0.0);
            CHECK(desc.ema_rate == (k ? 0.999 : 0.9999) && desc.loss.half_sum == k);
            desc = ssde_train_defaults(&sdes[k], shorter[i]);
            CHECK_RELATIVE(desc.lr, lr[i], 1e-15);
            CHECK(desc.warmup == warmup[i] && desc.ema_rate == (k ? 0.999 : 0.9999));
        }
    CHECK_OK(ssde_configuration(NULL, "vp/cifar10_ddpmpp_continuous", NULL, NULL, &desc));
    CHECK(desc.lr == 2e-4 && desc.warmup == 5000 && desc.ema_rate == 0.9999 && desc.batch == 128);
}

/* One score net of the averaged weights serves between the steps: each score is that of the last step's average. */
static void test_train_sampled(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(NULL, &sde);
    ssde_net *net = files_mlp(NULL, 2, 8, 1, 3);
    ssde_trainer *trainer;
    ssde_score_net *kept, *fresh;
    ssde_score_model model;
    float old[16], seen[16], wanted[16];
    double t[8];
    int step, i;
    for (i = 0; i < 8; i++) t[i] = 0.1 + 0.1 * i;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK_OK(ssde_score_net_create(&kept, ssde_trainer_ema(trainer), &sde, NULL));
    for (step = 0; step < 4; step++) {
        model = ssde_score_net_model(kept);
        CHECK_OK(model.score(model.user, files_points, t, NULL, 8, 0, seen));
        CHECK_OK(ssde_score_net_create(&fresh, ssde_trainer_ema(trainer), &sde, NULL));
        model = ssde_score_net_model(fresh);
        CHECK_OK(model.score(model.user, files_points, t, NULL, 8, 0, wanted));
        ssde_score_net_destroy(fresh);
        CHECK_SAME(seen, wanted, sizeof seen);
        CHECK(!step || memcmp(seen, old, sizeof seen));
        memcpy(old, seen, sizeof old);
        files_train(trainer, 2); /* the first one of all has learning rate 0 */
    }
    ssde_score_net_destroy(kept);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
}

/* The mean and standard error that evaluate reports are those of the losses it makes; slices do not matter. */
static void test_train_evaluate(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(NULL, &sde);
    ssde_net *net = files_mlp(NULL, 2, 8, 1, 3);
    ssde_trainer *trainer;
    ssde_batch points = files_batch();
    double losses[8], loss, error, other, mean = 0.0, squares = 0.0;
    size_t batch, i;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK_OK(ssde_trainer_evaluate(trainer, &points, 5, &loss, &error));
    memcpy(losses, trainer->losses, sizeof losses);
    for (i = 0; i < 8; i++) mean += losses[i] / 8.0;
    for (i = 0; i < 8; i++) squares += (losses[i] - mean) * (losses[i] - mean);
    CHECK_RELATIVE(loss, mean, 1e-14);
    CHECK_RELATIVE(error, sqrt(squares / 7.0 / 8.0), 1e-12);
    CHECK_OK(ssde_trainer_evaluate(trainer, &points, 6, &other, NULL));
    CHECK(other < loss || other > loss);
    points.rows = 1;
    CHECK_OK(ssde_trainer_evaluate(trainer, &points, 5, &other, &error));
    CHECK(other == losses[0] && error > DBL_MAX);
    points.x = files_points + 2 * 5;
    points.first_slot = 5; /* a row's draws are its slot's */
    CHECK_OK(ssde_trainer_evaluate(trainer, &points, 5, &other, NULL));
    CHECK(other == losses[5]);
    points = files_batch();
    ssde_trainer_destroy(trainer);
    for (batch = 1; batch < 8; batch += 2) {
        desc.batch = batch;
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
        CHECK_OK(ssde_trainer_evaluate(trainer, &points, 5, &other, &error));
        CHECK(other == loss);
        ssde_trainer_destroy(trainer);
    }
    ssde_net_destroy(net);
}

static void test_train_bad_data(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0), broken = ssde_vp(-1.0, 20.0);
    ssde_train_desc desc, bad;
    ssde_net *net, *same;
    ssde_trainer *trainer, *untouched, *none;
    ssde_batch batch = files_batch();
    float x[16];
    double loss, error;
    size_t i;
    desc = files_train_desc(&context, &sde);
    net = files_mlp(NULL, 2, 8, 1, 3);
    same = files_mlp(NULL, 2, 8, 1, 3);
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK_OK(ssde_trainer_create(&untouched, same, &sde, &desc));
    files_train(trainer, 2);
    files_train(untouched, 2);
    memcpy(x, files_points, sizeof x);
    batch.x = x;
    x[11] = NAN;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_NUMERIC, "x: row 5, element 1");
    CHECK_FAILS(&context, ssde_trainer_evaluate(trainer, &batch, 1, &loss, &error), SSDE_ERROR_NUMERIC,
                "row 5, element 1");
    x[11] = 1e38f; /* finite, but its loss is not */
    x[10] = -1e38f;
    for (i = 0; i < 10; i++) x[i] = 3e38f;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_NUMERIC, "training step 2");
    batch.rows = 9;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT,
                "batch.rows is 9, wanted 1 to desc.batch = 8");
    batch.rows = 0;
    CHECK_STATUS(ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT);
    batch = files_batch();
    batch.first_slot = (uint64_t)1 << 48;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT, "first_slot");
    CHECK_STATUS(ssde_train_step(trainer, NULL, &loss), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_train_step(NULL, &batch, &loss), SSDE_ERROR_ARGUMENT);
    CHECK_FAILS(&context, ssde_trainer_evaluate(trainer, &batch, 1, &loss, &error), SSDE_ERROR_ARGUMENT, "first_slot");
    CHECK_STATUS(ssde_trainer_evaluate(trainer, NULL, 1, &loss, &error), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_evaluate(NULL, &batch, 1, &loss, &error), SSDE_ERROR_ARGUMENT);
    batch.x = NULL;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT, "batch.x is NULL");
    CHECK_FAILS(&context, ssde_trainer_evaluate(trainer, &batch, 1, &loss, &error), SSDE_ERROR_ARGUMENT,
                "ssde_trainer_evaluate: batch.x is NULL");
    batch = ssde_batch_of(files_points, 0);
    CHECK_FAILS(&context, ssde_trainer_evaluate(trainer, &batch, 1, &loss, &error), SSDE_ERROR_ARGUMENT,
                "batch.rows is 0");
    batch.rows = SIZE_MAX;
    CHECK_STATUS(ssde_trainer_evaluate(trainer, &batch, 1, &loss, &error), SSDE_ERROR_ARGUMENT);
    files_check_same_trainer(trainer, untouched);
    files_train(trainer, 1); /* and training goes on as if nothing had been */
    files_train(untouched, 1);
    files_check_same_trainer(trainer, untouched);
    /* weights that overflow in the forward pass; gradients that overflow behind a finite loss */
    for (i = 0; i < 2; i++) {
        size_t k, at = net->parameters[net->parameter_count - 2].offset;
        for (k = 0; k < net->weight_count; k++) same->weights[k] = net->weights[k] *= i ? 1e-2f : 1.0f;
        if (!i) same->weights[at] = net->weights[at] = 3e38f;
        if (i) net->weights[0] = same->weights[0] = 1e38f;
        batch = files_batch();
        CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_NUMERIC, "training step 3");
        files_check_same_trainer(trainer, untouched);
        net->weights[at] = same->weights[at] = 0.1f;
    }
    net->weights[0] = same->weights[0] = 0.1f;
    files_train(trainer, 1);
    files_train(untouched, 1);
    files_check_same_trainer(trainer, untouched);
    ssde_trainer_destroy(trainer);
    ssde_trainer_destroy(untouched);
    desc.levels = 4.0;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    for (i = 0; i < 16; i++) x[i] = 3.0f;
    batch = files_batch();
    batch.x = x;
    x[2] = 4.0f;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT,
                "row 1, element 0 is 4, wanted a whole number from 0 to 3");
    x[2] = 0.5f;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT, "row 1, element 0 is 0.5");
    x[2] = NAN;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT, "row 1, element 0 is");
    CHECK(ssde_trainer_step_count(trainer) == 0);
    ssde_trainer_destroy(trainer);
    desc.levels = 0.0;
#define FILES_BAD_DESC(field, value, words)                                                             \
    do {                                                                                                \
        bad = desc;                                                                                     \
        bad.field = value;                                                                              \
        none = (ssde_trainer *)1;                                                                       \
        CHECK_FAILS(&context, ssde_trainer_create(&none, net, &sde, &bad), SSDE_ERROR_ARGUMENT, words); \
        CHECK(!none);                                                                                   \
    } while (0)
    FILES_BAD_DESC(batch, 0, "desc.batch");
    FILES_BAD_DESC(batch, SIZE_MAX, "desc.batch");
    FILES_BAD_DESC(lr, -1.0, "desc.lr");
    FILES_BAD_DESC(lr, (double)NAN, "desc.lr");
    FILES_BAD_DESC(lr, 1e30, "desc.lr is 1e+30, wanted 0 to 1e6");
    FILES_BAD_DESC(beta1, 1.0, "desc.beta1");
    FILES_BAD_DESC(beta2, -0.1, "desc.beta2");
    FILES_BAD_DESC(adam_eps, 0.0, "desc.adam_eps");
    FILES_BAD_DESC(adam_eps, 1e7, "1e-15 to 1e6");
    FILES_BAD_DESC(weight_decay, -1.0, "desc.weight_decay");
    FILES_BAD_DESC(weight_decay, 1e7, "0 to 1e6");
    FILES_BAD_DESC(warmup, -1, "desc.warmup");
    FILES_BAD_DESC(grad_clip, (double)NAN, "desc.grad_clip");
    FILES_BAD_DESC(ema_rate, 1.5, "desc.ema_rate");
    FILES_BAD_DESC(levels, 2.5, "desc.levels");
    FILES_BAD_DESC(loss.eps, 2.0, "ssde_trainer_create: desc.loss.eps is 2, wanted");
    FILES_BAD_DESC(loss.eps, (double)NAN, "desc.loss.eps is nan");
    bad = desc;
    bad.levels = 8.0;
    bad.low = bad.high;
    CHECK_FAILS(&context, ssde_trainer_create(&none, net, &sde, &bad), SSDE_ERROR_ARGUMENT, "desc.low");
#undef FILES_BAD_DESC
    CHECK_FAILS(&context, ssde_trainer_create(&none, NULL, &sde, &desc), SSDE_ERROR_ARGUMENT, "net is NULL");
    CHECK_STATUS(ssde_trainer_create(&none, net, &sde, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_create(&none, net, NULL, &desc), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_create(NULL, net, &sde, &desc), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_create(&none, net, &broken, &desc), SSDE_ERROR_ARGUMENT);
    CHECK(!ssde_trainer_step_count(NULL) && !ssde_trainer_ema(NULL));
    ssde_trainer_destroy(NULL);
    ssde_net_destroy(net);
    ssde_net_destroy(same);
}

/* ---- train: averages chosen afterwards ---- */

enum { AVERAGE_FILES = 10, AVERAGE_EVERY = 30, AVERAGE_STEPS = AVERAGE_FILES * AVERAGE_EVERY, AVERAGE_WEIGHTS = 1024 };
static float average_history[AVERAGE_STEPS][AVERAGE_WEIGHTS]; /* the weights after every step */
static char average_names[AVERAGE_FILES][40];
static const char *average_paths[AVERAGE_FILES];

/* The exponent of a length, by halving. */
static double average_gamma(double length) {
    double low = 0.0, high = 2.0 / length, middle = 0.0;
    int i;
    for (i = 0; i < 200; i++) {
        middle = 0.5 * (low + high);
        if (sqrt((middle + 1.0) / (middle + 3.0)) / (middle + 2.0) > length)
            low = middle;
        else
            high = middle;
    }
    return middle;
}

/* The share of step s in the average at step t, both from 1. */
static double average_share(double gamma, double s, double t) {
    return s > t ? 0.0 : pow(s / t, gamma + 1.0) - pow((s - 1.0) / t, gamma + 1.0);
}

static ssde_net *average_net(ssde_context *context) { return files_mlp(context, 2, 8, 1, 3); }

/* Trains, saves AVERAGE_FILES snapshots, and remembers all weights. */
static void average_train(ssde_trainer *trainer) {
    size_t count = trainer->net->weight_count;
    int step;
    CHECK(count <= AVERAGE_WEIGHTS);
    for (step = 0; step < AVERAGE_STEPS; step++) {
        int file = step / AVERAGE_EVERY;
        files_train(trainer, 1);
        memcpy(average_history[step], trainer->net->weights, count * sizeof(float));
        if ((step + 1) % AVERAGE_EVERY) continue;
        snprintf(average_names[file], sizeof average_names[file], "tests/tmp_average_%d.safetensors", file);
        average_paths[file] = average_names[file];
        CHECK_OK(ssde_trainer_save_averages(trainer, average_paths[file]));
    }
}

/* How `count` files are combined for a length at the last one's step; what the library says of it. */
static double average_combine(size_t count, double length, double x[2 * AVERAGE_FILES]) {
    static double numbers[AVERAGE_FILES + 4 * 2 * AVERAGE_FILES + 4 * AVERAGE_FILES * AVERAGE_FILES];
    ssdei_average w;
    double residual = -1.0;
    size_t i;
    memset(&w, 0, sizeof w);
    w.net = average_net(NULL), w.files = count, w.count = 2 * count;
    w.step = numbers, w.scale = numbers + count, w.one = w.scale + w.count, w.b = w.one + w.count, w.weight = x;
    w.factor = w.b + w.count;
    for (i = 0; i < count; i++) w.step[i] = (double)(AVERAGE_EVERY * (i + 1));
    CHECK_OK(ssdei_average_weights(&w, length, (double)(AVERAGE_EVERY * count), &residual));
    ssde_net_destroy((ssde_net *)w.net);
    return residual;
}

/* Against the averages of the whole history in double: what the library combines its files by tells how far it is off,
   to rounding; and that is within what the residual allows, |p - sum_i x_i p_i| |w - w_last| by Cauchy and Schwarz. */
static void average_check(const ssde_net *net, double length) {
    double kept[2], x[2 * AVERAGE_FILES], gamma = average_gamma(length), last = AVERAGE_STEPS, sum = 0.0;
    double residual = average_combine(AVERAGE_FILES, length, x),
           norm = (gamma + 1.0) / sqrt((2.0 * gamma + 1.0) * last);
    double straight[AVERAGE_STEPS], combined[AVERAGE_STEPS];
    size_t i, k, s;
    kept[0] = average_gamma(0.05), kept[1] = average_gamma(0.10);
    for (i = 0; i < 2 * AVERAGE_FILES; i++) sum += x[i];
    CHECK_NEAR(sum, 1.0, 1e-12);
    for (s = 0; s < AVERAGE_STEPS; s++) {
        straight[s] = average_share(gamma, (double)s + 1.0, last);
        for (combined[s] = 0.0, i = 0; i < 2 * AVERAGE_FILES; i++)
            combined[s] += x[i] * average_share(kept[i % 2], (double)s + 1.0, (double)(AVERAGE_EVERY * (i / 2 + 1)));
    }
    for (k = 0; k < net->weight_count; k++) {
        double direct = 0.0, predicted = 0.0, spread = 0.0, end = (double)average_history[AVERAGE_STEPS - 1][k];
        for (s = 0; s < AVERAGE_STEPS; s++) {
            double w = (double)average_history[s][k];
            direct += straight[s] * w;
            predicted += combined[s] * w;
            spread += (w - end) * (w - end);
        }
        CHECK_NEAR(net->weights[k], predicted, 3e-6);
        CHECK_NEAR(net->weights[k], direct, residual * norm * sqrt(spread) + 3e-6);
    }
}

/* The weights of three files for a length of 0.07, and the residual, by
   solve([[A, 1], [1^T, 0]], [b, 1]) with A and b the inner products of the profiles, in NumPy. */
static void test_train_average_weights(void) {
    static const double wanted[6] = {0.00287765917326086, -0.00674511260748101, 0.00852172202831881,
                                     -0.0321477038912616, 0.458219118174876,    0.569274317122287};
    double x[2 * AVERAGE_FILES];
    size_t i;
    CHECK_RELATIVE(ssdei_average_gamma(0.05), 16.972198602303, 1e-12);
    CHECK_RELATIVE(ssdei_average_gamma(0.10), 6.937203937602, 1e-12);
    CHECK_NEAR(ssdei_average_gamma(1.0 / sqrt(12.0)), 0.0, 1e-7);
    CHECK_RELATIVE(ssdei_average_gamma(0.001), average_gamma(0.001), 1e-12);
    CHECK(ssdei_average_take(0.1, 1.0) == 1.0);
    CHECK_RELATIVE(average_combine(3, 0.07, x), 0.0426912370696168, 1e-10);
    for (i = 0; i < 6; i++) CHECK_NEAR(x[i], wanted[i], 1e-11);
}

static void test_train_averages(void) {
    static const double lengths[] = {0.03, 0.05, 0.07, 0.10, 0.15, 0.20};
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(NULL, &sde);
    ssde_net *net = average_net(NULL), *other = files_mlp(NULL, 2, 8, 1, 99);
    ssde_trainer *trainer = NULL;
    const char *turned[AVERAGE_FILES];
    double x[2 * AVERAGE_FILES], residual = -1.0, again = -1.0;
    size_t i, size = net->weight_count * sizeof(float);
    float first[AVERAGE_WEIGHTS];
    desc.keep_averages = 1, desc.loss.output = SSDE_PREDICT_VELOCITY;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    average_train(trainer);
    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        CHECK_OK(ssde_net_reconstruct_average(other, average_paths, AVERAGE_FILES, lengths[i], &residual));
        CHECK(residual == average_combine(AVERAGE_FILES, lengths[i], x));
        CHECK(ssde_net_output(other, NULL) == SSDE_PREDICT_VELOCITY && !ssde_net_discrete(other));
        average_check(other, lengths[i]);
    }
    for (i = 0; i < 2; i++) { /* those that are kept, as they are */
        CHECK_OK(ssde_net_reconstruct_average(other, average_paths, AVERAGE_FILES, i ? 0.10 : 0.05, &residual));
        CHECK_NEAR(residual, 0.0, 1e-6);
        CHECK_ARRAY(other->weights, trainer->averages[i], net->weight_count, 1e-7);
    }
    /* in any order, and from a checkpoint in a snapshot's place */
    CHECK_OK(ssde_net_reconstruct_average(other, average_paths, AVERAGE_FILES, 0.12, &residual));
    memcpy(first, other->weights, size);
    CHECK_OK(ssde_trainer_save(trainer, FILES_PATH));
    for (i = 0; i < AVERAGE_FILES; i++) turned[i] = i ? average_paths[AVERAGE_FILES - 1 - i] : FILES_PATH;
    CHECK_OK(ssde_net_reconstruct_average(other, turned, AVERAGE_FILES, 0.12, &again));
    CHECK_ARRAY(other->weights, first, net->weight_count, 1e-6);
    CHECK_NEAR(residual, again, 1e-7);
    for (i = 0; i < AVERAGE_FILES; i++) remove(average_paths[i]);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
    /* the SDE's own output is said, too: under another SDE it is not that one's */
    net = average_net(NULL);
    desc.loss.output = SSDE_PREDICT_DEFAULT;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    average_train(trainer);
    CHECK_OK(ssde_net_reconstruct_average(other, average_paths, 1, 0.07, NULL));
    CHECK(ssde_net_output(other, NULL) == SSDE_PREDICT_NOISE);
    for (i = 0; i < AVERAGE_FILES; i++) remove(average_paths[i]);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
    ssde_net_destroy(other);
    remove(FILES_PATH);
}

/* What cannot be combined is refused, and leaves the network as it was. */
static void test_train_bad_averages(void) {
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(&context, &sde);
    ssde_net *net = average_net(&context), *wider = files_mlp(&context, 2, 12, 1, 3), *kept = average_net(&context);
    ssde_trainer *trainer = NULL;
    const char *paths[3] = {"tests/tmp_average_a.safetensors", "tests/tmp_average_b.safetensors", FILES_OTHER};
    const char *twice[2];
    size_t size = net->weight_count * sizeof(float);
    long refused;
    double residual;
    desc.keep_averages = desc.loss.discrete = 1;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK_FAILS(&context, ssde_trainer_save_averages(trainer, paths[0]), SSDE_ERROR_ARGUMENT, "no step was taken");
    files_train(trainer, 5);
    CHECK_OK(ssde_trainer_save_averages(trainer, paths[0]));
    CHECK_FAILS(&context, ssde_trainer_load(trainer, paths[0]), SSDE_ERROR_FORMAT, "tensors");
    files_train(trainer, 5);
    CHECK_OK(ssde_trainer_save_averages(trainer, paths[1]));
    CHECK_FAILS(&context, ssde_trainer_save_averages(trainer, "no such folder/file"), SSDE_ERROR_FILE, "no such");
    CHECK_OK(ssde_trainer_save_model(trainer, FILES_OTHER));
    ssde_trainer_destroy(trainer);
    memcpy(net->weights, kept->weights, size);
    memset(&net->means, 0, sizeof net->means);
#define AVERAGE_REFUSED(network, files, count, length, status, words)                                                 \
    do {                                                                                                              \
        residual = -7.0;                                                                                              \
        CHECK_FAILS(&context, ssde_net_reconstruct_average(network, files, count, length, &residual), status, words); \
        CHECK(residual == -7.0 && !net->means.discrete);                                                              \
        CHECK_SAME(net->weights, kept->weights, size);                                                                \
    } while (0)
    twice[0] = twice[1] = paths[1];
    AVERAGE_REFUSED(net, twice, 2, 0.07, SSDE_ERROR_ARGUMENT, "are both of step 10");
    AVERAGE_REFUSED(wider, paths, 2, 0.07, SSDE_ERROR_FORMAT, "another network");
    AVERAGE_REFUSED(net, paths, 3, 0.07, SSDE_ERROR_FORMAT, "no averages");
    AVERAGE_REFUSED(net, paths, 2, 0.0, SSDE_ERROR_ARGUMENT, "sigma_rel is 0");
    AVERAGE_REFUSED(net, paths, 2, 0.29, SSDE_ERROR_ARGUMENT, "sigma_rel is 0.29");
    desc.seed++;
    CHECK_OK(ssde_trainer_create(&trainer, kept, &sde, &desc));
    files_train(trainer, 7);
    CHECK_OK(ssde_trainer_save_averages(trainer, FILES_OTHER));
    memcpy(kept->weights, net->weights, size);
    AVERAGE_REFUSED(net, paths, 3, 0.07, SSDE_ERROR_FORMAT, "of another training than");
    ssde_trainer_destroy(trainer);
    for (refused = 0, memory.refuse = memory.made; refused < 1000; refused++) {
        memory.made = 0, memory.refuse = refused;
        if (ssde_net_reconstruct_average(net, paths, 2, 0.07, NULL) == SSDE_OK) break;
        CHECK(strstr(context.error, "allocate") != NULL);
        CHECK_SAME(net->weights, kept->weights, size);
    }
    CHECK(refused > 3 && refused < 1000 && net->means.discrete); /* in the end it was as the file says */
    memory.refuse = -1;
    memcpy(net->weights, kept->weights, size);
    memset(&net->means, 0, sizeof net->means);
    files_flip(paths[1], 8 * 2000);
    AVERAGE_REFUSED(net, paths, 2, 0.07, SSDE_ERROR_FORMAT, paths[1]);
#undef AVERAGE_REFUSED
    ssde_net_destroy(net);
    ssde_net_destroy(kept);
    ssde_net_destroy(wider);
    CHECK(memory.live == 0);
    remove(paths[0]);
    remove(paths[1]);
    remove(FILES_OTHER);
}

/* ---- train: the order of the data ---- */

static void test_train_shuffle(void) {
    static const uint64_t counts[] = {1, 2, 3, 4, 5, 10, 64, 100, 1000, 1025};
    static unsigned char seen[2000];
    static unsigned table[5][5];
    uint64_t c, pass, i, same = 0;
    double chi = 0.0;
    for (c = 0; c < sizeof counts / sizeof *counts; c++) {
        uint64_t count = counts[c];
        for (pass = 0; pass < 3; pass++) {
            uint64_t at = pass ? (pass == 2 ? (uint64_t)1 << 40 : 1) : 0;
            memset(seen, 0, sizeof seen);
            for (i = 0; i < count; i++) {
                uint64_t index = ssde_shuffled_index(7, count, at * count + i);
                CHECK(index < count && !seen[index]);
                if (index < count) seen[index] = 1;
            }
        }
    }
    for (i = 0; i < 1000; i++) same += ssde_shuffled_index(7, 1000, i) == ssde_shuffled_index(7, 1000, 1000 + i);
    CHECK(same < 10); /* 1 is expected */
    for (i = same = 0; i < 1000; i++) same += ssde_shuffled_index(7, 1000, i) == ssde_shuffled_index(8, 1000, i);
    CHECK(same < 10);
    for (i = same = 0; i < 1000; i++) same += ssde_shuffled_index(7, 1000, i) == i;
    CHECK(same < 10);
    /* where each of five lands over 2,000 passes: 16 degrees of freedom, 39.3 is passed once in a thousand */
    for (pass = 0; pass < 2000; pass++)
        for (i = 0; i < 5; i++) table[i][ssde_shuffled_index(3, 5, pass * 5 + i)]++;
    for (i = 0; i < 25; i++) {
        double away = (double)table[i / 5][i % 5] - 400.0;
        chi += away * away / 400.0;
    }
    CHECK(chi < 39.3);
    CHECK(ssde_shuffled_index(1, 0, 5) == 0);
    CHECK(ssde_shuffled_index(1, UINT64_MAX, 5) < UINT64_MAX);
}

/* The first step says once that its data are not the SDE's scale; data of ordinary scales pass in silence. */
static void test_train_scale(void) {
    /* VP's, sub-VP's, VE's to 50; scale of data 0 ... 1, with a shift; warned of or not */
    static const double cases[][5] = {{1, 255, 0, 0, 1},   {2, 255, 0, 0, 1},      {0, 255, 0, 0, 1},
                                      {1, 2, -1, 0, 0},    {1, 2, -1, 1, 0},       {0, 1, 0, 0, 0},
                                      {2, 1, 0, 0, 0},     {1, 3.46, -1.73, 0, 0}, {0, 3.46, -1.73, 0, 0},
                                      {1, 255, 0, 256, 0}, {1, 1e-3, 40, 0, 1}};
    float x[64 * 2];
    ssde_context context = ssde_context_defaults();
    check_log kept;
    size_t c, i;
    context.log = check_keep_log, context.user = &kept;
    for (c = 0; c < sizeof cases / sizeof *cases; c++) {
        ssde_sde sde = cases[c][0] == 0.0   ? ssde_ve(0.01, 50.0)
                       : cases[c][0] == 1.0 ? ssde_vp(0.1, 20.0)
                                            : ssde_subvp(0.1, 20.0);
        ssde_net *net = files_mlp(NULL, 2, 8, 1, 3);
        ssde_train_desc desc = files_train_desc(&context, &sde);
        ssde_trainer *trainer = NULL;
        ssde_batch batch = files_batch();
        int step;
        memset(&kept, 0, sizeof kept);
        desc.batch = 64;
        if (cases[c][3] > 1.0) desc.levels = cases[c][3];
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
        for (i = 0; i < 128; i++) {
            double u = ssde_random_double(5, SSDE_STREAM_USER, 0, i, 0);
            x[i] = (float)(cases[c][1] * u + cases[c][2]);
            if (desc.levels > 0.0) x[i] = floorf(x[i]);
        }
        batch.x = x, batch.rows = 64;
        for (step = 0; step < 3; step++) CHECK_OK(ssde_train_step(trainer, &batch, NULL));
        CHECK(kept.count == (int)cases[c][4]);
        CHECK(!kept.count || (!strncmp(kept.text, "ssde_train_step: x has mean", 27) && strstr(kept.text, "scale it")));
        CHECK(!context.error[0]);
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(net);
    }
}

/* Of outputs that say nothing of x(0) where m(1) is 0 the trainer's log says so, once; of others nothing. */
static void test_train_output_warning(void) {
    static const char start[] = "ssde_trainer_create: desc.loss.output is noise";
    const ssde_parameterisation wanted[4] = {SSDE_PREDICT_FLOW, SSDE_PREDICT_SCORE, SSDE_PREDICT_NOISE,
                                             SSDE_PREDICT_NOISE};
    ssde_sde sdes[4];
    ssde_context context = ssde_context_defaults();
    check_log kept;
    int output, k;
    sdes[0] = ssde_rectified_flow(), sdes[1] = ssde_ve(0.01, 50.0), sdes[2] = ssde_vp(0.1, 20.0);
    sdes[3] = ssde_subvp(0.1, 20.0);
    CHECK(ssde_train_defaults(&sdes[0], 0).loss.weighting == SSDE_WEIGHT_OUTPUT);
    for (k = 1; k < 4; k++) CHECK(ssde_train_defaults(&sdes[k], 0).loss.weighting == SSDE_WEIGHT_STD2);
    context.log = check_keep_log, context.user = &kept;
    for (k = 0; k < 4; k++)
        for (output = SSDE_PREDICT_DEFAULT; output < SSDE_PREDICT_COUNT; output++) {
            int poor = output == SSDE_PREDICT_SCORE || output == SSDE_PREDICT_NOISE;
            ssde_mlp_desc shape = ssde_mlp(2);
            ssde_train_desc desc = files_train_desc(&context, &sdes[k]);
            ssde_net *net = NULL;
            ssde_trainer *trainer = NULL;
            shape.hidden = 8;
            shape.scale_by_sigma = 0;
            CHECK_OK(ssde_mlp_create(&net, &shape));
            memset(&kept, 0, sizeof kept);
            desc.loss.output = (ssde_parameterisation)output;
            CHECK_OK(ssde_trainer_create(&trainer, net, &sdes[k], &desc));
            CHECK(kept.count == (k == 0 && poor));
            if (!output) CHECK(ssde_net_output(net, NULL) == wanted[k]);
            if (kept.count && output != SSDE_PREDICT_SCORE) CHECK(!strncmp(kept.text, start, sizeof start - 1));
            CHECK(!kept.count || strlen(kept.text) < sizeof kept.text - 1);
            CHECK(!context.error[0]);
            ssde_trainer_destroy(trainer);
            ssde_net_destroy(net);
        }
}

/* ---- train ---- */

/* Every pixel of a row is where its mirror image was, for even widths and odd. */
static void test_train_flip(void) {
    size_t width, y, x, c;
    for (width = 1; width <= 9; width++) {
        float image[2 * 9 * 3];
        ssde_net *net = NULL;
        CHECK_OK(ssde_net_create(NULL, &net, 1));
        ssde_input(net, 2, width, 3);
        for (x = 0; x < 2 * width * 3; x++) image[x] = (float)x;
        ssdei_flip(net, image);
        for (y = 0; y < 2; y++)
            for (x = 0; x < width; x++)
                for (c = 0; c < 3; c++)
                    CHECK(image[(y * width + x) * 3 + c] == (float)((y * width + width - 1 - x) * 3 + c));
        ssde_net_destroy(net);
    }
}

#define TEST_NN_TRAIN_LIST(X) \
    X(train_classes)          \
    X(train_adam)             \
    X(train_first_steps)      \
    X(train_gradient)         \
    X(train_inputs)           \
    X(train_outputs_gradient) \
    X(train_outputs)          \
    X(train_outputs_own)      \
    X(train_outputs_resume)   \
    X(train_resume)           \
    X(train_bad_checkpoints)  \
    X(train_threads)          \
    X(train_memory)           \
    X(train_evaluate_run)     \
    X(train_frozen)           \
    X(train_ring)             \
    X(train_objective_probes) \
    X(train_objectives)       \
    X(train_objective_errors) \
    X(train_defaults)         \
    X(train_sampled)          \
    X(train_evaluate)         \
    X(train_bad_data)         \
    X(train_average_weights)  \
    X(train_averages)         \
    X(train_bad_averages)     \
    X(train_shuffle)          \
    X(train_scale)            \
    X(train_output_warning)   \
    X(train_flip)

#endif
